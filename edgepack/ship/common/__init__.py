"""What every platform's module is made of: the checked order, model files with their manifest, signature, sizes, licences."""
