"""A page in the browser: served by this machine (server.py), or a folder that needs none (web_folder.py)."""
