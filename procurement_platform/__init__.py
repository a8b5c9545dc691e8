"""Market files in, supplier orders a buyer can sign out. Kept free of imports: worker processes start through here."""

__version__ = "0.1.0"
