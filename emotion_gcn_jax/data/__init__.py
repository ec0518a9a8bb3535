"""From a built dataset (or a folder) to the images on the device: source, selection, batches, inputs, augmentation."""
