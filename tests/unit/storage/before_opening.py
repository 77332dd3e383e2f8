"""What befalls a store before it is opened again."""

from store_harness import Root


def lose_nothing(root: Root) -> None:
    """The next opening is one like any other."""


def another_boot(root: Root) -> None:
    root.settings["boot_id"] = "second boot"
