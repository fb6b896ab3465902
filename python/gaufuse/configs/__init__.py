"""The presets, in TOML; `gaufuse.config.load_config` reads them by name."""
