"""What made-up reference sets are made of: real countries, plausible goods, invented companies. Costs are euro cents per unit."""

from typing import NamedTuple


class Country(NamedTuple):
    """A market: cut-offs are local times."""

    market: str
    name: str
    currency: str
    timezone: str
    orders_cutoff: str = "06:00"
    stock_cutoff: str = "06:00"
    when_missing: str = "withhold"


class Category(NamedTuple):
    """A kind of goods: `items` with their cost of the first size; each further size costs about as much again."""

    name: str
    prefix: str
    uom: str
    items: tuple[tuple[str, int], ...]
    sizes: tuple[str, ...]
    packs: tuple[str, ...]


# The first eight are the sample's.
COUNTRIES = (
    Country("DE", "Germany", "EUR", "Europe/Berlin"),
    Country("FR", "France", "EUR", "Europe/Paris", "06:30"),
    Country("GB", "United Kingdom", "GBP", "Europe/London", "05:30", "05:30"),
    Country("PL", "Poland", "PLN", "Europe/Warsaw"),
    Country("SE", "Sweden", "SEK", "Europe/Stockholm", "06:00", "07:00"),
    Country("US", "United States", "USD", "America/New_York", "04:00", "04:30"),
    Country("BR", "Brazil", "BRL", "America/Sao_Paulo", "05:00", "06:00", "compute"),
    Country("JP", "Japan", "JPY", "Asia/Tokyo", "07:00", "07:00"),
    Country("ES", "Spain", "EUR", "Europe/Madrid"),
    Country("IT", "Italy", "EUR", "Europe/Rome"),
    Country("NL", "Netherlands", "EUR", "Europe/Amsterdam"),
    Country("AT", "Austria", "EUR", "Europe/Vienna"),
    Country("CH", "Switzerland", "CHF", "Europe/Zurich"),
    Country("DK", "Denmark", "DKK", "Europe/Copenhagen"),
    Country("CZ", "Czechia", "CZK", "Europe/Prague"),
    Country("IE", "Ireland", "EUR", "Europe/Dublin"),
    Country("CA", "Canada", "CAD", "America/Toronto"),
    Country("MX", "Mexico", "MXN", "America/Mexico_City"),
    Country("IN", "India", "INR", "Asia/Kolkata"),
    Country("AU", "Australia", "AUD", "Australia/Sydney"),
    Country("NZ", "New Zealand", "NZD", "Pacific/Auckland"),
    Country("ZA", "South Africa", "ZAR", "Africa/Johannesburg"),
    Country("KR", "South Korea", "KRW", "Asia/Seoul"),
    Country("AE", "United Arab Emirates", "AED", "Asia/Dubai"),
)

# Units of the currency for one euro, and the decimal places its prices have.
RATES: dict[str, tuple[float, int]] = {
    "EUR": (1.0, 2), "GBP": (0.86, 2), "PLN": (4.3, 2), "SEK": (11.2, 2), "USD": (1.08, 2), "BRL": (6.1, 2), "JPY": (163.0, 0),
    "CHF": (0.95, 2), "DKK": (7.46, 2), "CZK": (24.9, 2), "CAD": (1.52, 2), "MXN": (20.4, 2), "INR": (93.0, 2), "AUD": (1.66, 2),
    "NZD": (1.81, 2), "ZAR": (19.6, 2), "KRW": (1480.0, 0), "AED": (3.97, 2), "CNY": (7.8, 2),
}  # fmt: skip

BRANDS = ("Alderbrook", "Kornblume", "Maison Verte", "Northfold", "Piana", "Sunhaven", "Tilia", "Valdemar", "Wren & Co", "Yamato")

_PACKS = ("6", "12", "24")
CATEGORIES = (
    Category(
        "Dairy", "DAI", "piece",
        (("Whole milk", 72), ("Butter", 168), ("Yoghurt natural", 55), ("Gouda slices", 149), ("Cream", 88),
         ("Cottage cheese", 97), ("Oat drink", 112)),
        ("250 g", "500 g", "1 kg"), _PACKS,
    ),
    Category(
        "Bakery", "BAK", "piece",
        (("Rye bread", 130), ("Baguette", 60), ("Croissant", 45), ("Burger buns", 99), ("Crispbread", 118),
         ("Tortilla wraps", 109)),
        ("small", "large", "family pack"), ("8", "10", "20"),
    ),
    Category(
        "Fruit and vegetables", "FRU", "kg",
        (("Apples Gala", 118), ("Bananas", 96), ("Potatoes", 52), ("Carrots", 61), ("Tomatoes", 149), ("Oranges", 122),
         ("Onions", 48), ("Courgettes", 155)),
        ("class I", "class II", "organic"), ("2.5", "5", "10", "12.5"),
    ),
    Category(
        "Meat and fish", "MEA", "kg",
        (("Chicken breast", 620), ("Minced beef", 710), ("Pork loin", 540), ("Salmon fillet", 1490), ("Cod loin", 1310),
         ("Turkey strips", 690)),
        ("fresh", "organic", "marinated"), ("2.5", "5"),
    ),
    Category(
        "Frozen", "FRZ", "piece",
        (("Peas", 92), ("Pizza margherita", 158), ("Fish fingers", 189), ("Vanilla ice cream", 176), ("Spinach", 84),
         ("Oven chips", 128)),
        ("300 g", "750 g", "1.5 kg"), ("10", "12", "16"),
    ),
    Category(
        "Pantry", "PAN", "piece",
        (("Spaghetti", 64), ("Basmati rice", 142), ("Olive oil", 389), ("Tomato passata", 71), ("Chickpeas", 58),
         ("Honey", 310), ("Muesli", 199), ("Sea salt", 39)),
        ("250 g", "500 g", "1 kg", "2.5 kg"), _PACKS,
    ),
    Category(
        "Beverages", "BEV", "bottle",
        (("Mineral water", 28), ("Apple juice", 95), ("Cola", 74), ("Pilsner", 81), ("Pinot noir", 420),
         ("Green tea, iced", 88), ("Tonic water", 69)),
        ("0.33 l", "0.75 l", "1.5 l"), ("6", "12", "20"),
    ),
    Category(
        "Coffee and tea", "COF", "piece",
        (("Espresso beans", 540), ("Filter coffee", 420), ("Earl Grey", 210), ("Camomile", 150), ("Sencha", 330),
         ("Cocoa", 260)),
        ("100 g", "250 g", "1 kg"), ("6", "10"),
    ),
    Category(
        "Household", "HOU", "piece",
        (("Dishwasher tabs", 480), ("Kitchen roll", 155), ("Washing powder", 620), ("Bin liners", 130),
         ("All-purpose cleaner", 145), ("Sponges", 70)),
        ("small", "medium", "large"), ("4", "8", "12"),
    ),
    Category(
        "Personal care", "CAR", "piece",
        (("Toothpaste", 92), ("Shampoo", 178), ("Hand soap", 84), ("Sun cream SPF 30", 560), ("Razor blades", 610),
         ("Cotton pads", 73)),
        ("75 ml", "200 ml", "400 ml"), _PACKS,
    ),
    Category(
        "Baby", "BAB", "piece",
        (("Nappies size 3", 690), ("Carrot purée", 61), ("Wet wipes", 99), ("Follow-on milk", 880)),
        ("single", "twin pack", "month pack"), ("4", "6", "12"),
    ),
    Category(
        "Pet food", "PET", "piece",
        (("Cat food chicken", 48), ("Dog food beef", 135), ("Bird seed", 160), ("Cat litter", 290)),
        ("400 g", "2 kg", "10 kg"), ("4", "12", "24"),
    ),
)  # fmt: skip

SUPPLIERS = (
    ("Hansen & Brandt Lebensmittel GmbH", "EUR"), ("Laiterie du Vallon SA", "EUR"), ("Castlemere Foods Ltd", "GBP"),
    ("Polski Sad Sp. z o.o.", "PLN"), ("Norrland Livs AB", "SEK"), ("Great Plains Provisions Inc.", "USD"),
    ("Fazenda Boa Vista Ltda", "BRL"), ("Aoyama Shokuhin K.K.", "JPY"), ("Mediterra Oli SpA", "EUR"), ("Duinzicht Groothandel BV", "EUR"),
    ("Alpenquell Getränke GmbH", "EUR"), ("Huertas del Sur SL", "EUR"), ("Thamesway Household plc", "GBP"), ("Baltic Catch OÜ", "EUR"),
    ("Zagórski Piekarnie SA", "PLN"), ("Skagen Fiskeri A/S", "DKK"), ("Cascade Paper Co.", "USD"), ("Blue Ridge Pet Supply LLC", "USD"),
    ("Kaffeekontor Elbe KG", "EUR"), ("Edelweiss Pflege AG", "CHF"), ("Ningbo Harbour Trading Co.", "CNY"), ("Cuisine Rapide SAS", "EUR"),
    ("Bébé Tendre SARL", "EUR"), ("Meridian Wholesale Ltd", "GBP"), ("Ostwind Handels GmbH", "EUR"),
)  # fmt: skip
