"""The operations: one public function a file, exported by `gaufuse_ext`."""
