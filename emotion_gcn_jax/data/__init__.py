"""From a built TFDS dataset to normalised images on the device: source, then batches, then augmentation."""
