"""A data folder on disk: its layout, its rows with their line numbers, and which of them keep the layout's promises."""
