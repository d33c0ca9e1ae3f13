"""What the simulated shop sells, and to whom: made by rule, the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from string import ascii_uppercase
from uuid import UUID, uuid5
from zlib import crc32

import msgspec


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product.

    Attributes:
        category: such as `Monitors`.
        price: in US dollars, with two decimal places.
        stock: units that the shop begins with.
        active: whether it is still sold.
        description: may run over lines.
    """

    sku: str
    name: str
    category: str
    price: Decimal
    stock: int
    active: bool
    description: str


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """One customer; the PIN never shows where one is printed.

    Attributes:
        pin: digits; the first may be 0.
        role: `buyer` or `admin`.
    """

    id: str
    name: str
    email: str
    pin: str
    role: str

    def __repr__(self) -> str:
        return f"Customer(id={self.id!r}, email={self.email!r})"


class _Kind(msgspec.Struct, frozen=True):
    """Products that differ by their model's letter: ten of them."""

    name: str
    low: int  # dollars
    high: int
    about: str


_MODELS = 10
_SHELVES: tuple[tuple[str, str, tuple[_Kind, ...]], ...] = (
    (
        "COM",
        "Computers",
        (
            _Kind("Office Desktop", 420, 900, "A quiet desktop for office work."),
            _Kind("Gaming Desktop", 1100, 2400, "A desktop with a fast graphics card."),
            _Kind("Mini PC", 260, 640, "A computer that fits behind a monitor."),
            _Kind("14-inch Laptop", 560, 1300, "A light laptop that lasts a day."),
            _Kind("16-inch Laptop", 780, 1900, "A laptop with a large, bright screen."),
        ),
    ),
    (
        "MON",
        "Monitors",
        (
            _Kind("24-inch Monitor", 120, 320, "A Full HD monitor for every desk."),
            _Kind("27-inch Monitor", 190, 480, "A QHD monitor with thin edges."),
            _Kind("32-inch 4K Monitor", 340, 820, "A 4K monitor for photos and plans."),
            _Kind(
                "34-inch Ultrawide Monitor", 380, 990, "A curved, very wide monitor."
            ),
        ),
    ),
    (
        "PRI",
        "Printers",
        (
            _Kind("Laser Printer", 110, 420, "A fast printer for black text."),
            _Kind("Inkjet Printer", 60, 240, "A small printer for colour."),
            _Kind("Photo Printer", 90, 380, "A printer for borderless photos."),
            _Kind("All-in-One Printer", 130, 520, "Prints, scans, copies and faxes."),
        ),
    ),
    (
        "ACC",
        "Accessories",
        (
            _Kind("Wireless Keyboard", 20, 90, "A flat keyboard, charged by USB-C."),
            _Kind("Wireless Mouse", 12, 70, "A mouse for either hand."),
            _Kind("USB-C Dock", 60, 220, "One cable for screens, network and power."),
            _Kind("Headset", 25, 180, "A headset that keeps out noise."),
        ),
    ),
    (
        "NET",
        "Networking",
        (
            _Kind("Wi-Fi Router", 50, 260, "A router that covers a whole flat."),
            _Kind("Network Switch", 30, 340, "A switch with gigabit ports."),
            _Kind("Mesh Wi-Fi Kit", 140, 480, "Three stations for a whole house."),
        ),
    ),
)
_SURE = {  # what the original is known to have
    "MON-0052": (Decimal("297.11"), 4),
    "MON-0054": (Decimal("166.85"), 9),
    "ACC-0132": (Decimal("30.20"), 70),
}
_RETIRED_EVERY = 50  # of the products one is no longer sold

_NAMESPACE = UUID("6f0c8a52-4a3e-5d0b-9a39-0c2f1d7f8b11")  # of the customers' ids
_PEOPLE = (
    ("Alice Johnson", "alice@example.com", "1234", "buyer"),
    ("Donald Garcia", "donaldgarcia@example.net", "7912", "admin"),
    ("Laura Henderson", "laurahenderson@example.org", "1488", "buyer"),
    ("Bob Martin", "bob@example.com", "0042", "buyer"),
    ("Carla Rossi", "carla.rossi@example.org", "6305", "buyer"),
    ("Deepak Rao", "deepak.rao@example.net", "2817", "buyer"),
    ("Emma Fischer", "emma.fischer@example.com", "0930", "buyer"),
    ("Farid Haddad", "farid@example.org", "5526", "buyer"),
    ("Grace Okafor", "grace.okafor@example.com", "4071", "admin"),
    ("Hiro Tanaka", "hiro.tanaka@example.net", "8164", "buyer"),
)


def products() -> tuple[Product, ...]:
    """All 200 products, in the order of their numbers."""
    return tuple(_products())


def _products() -> Iterator[Product]:
    number = 0
    for letters, category, kinds in _SHELVES:
        for kind in kinds:
            for model in ascii_uppercase[:_MODELS]:
                number += 1
                sku = f"{letters}-{number:04}"
                chance = crc32(sku.encode())
                cents = kind.low * 100 + chance % ((kind.high - kind.low) * 100)
                price, stock = _SURE.get(
                    sku, (Decimal(cents).scaleb(-2), chance // 7 % 90)
                )
                yield Product(
                    sku=sku,
                    name=f"{kind.name} - Model {model}",
                    category=category,
                    price=price,
                    stock=stock,
                    active=number % _RETIRED_EVERY != 0,
                    description=f"{kind.about}\nModel {model}, two years of warranty.",
                )


def customers() -> tuple[Customer, ...]:
    """Everybody who can log in."""
    return tuple(
        Customer(
            id=str(uuid5(_NAMESPACE, email)),
            name=name,
            email=email,
            pin=pin,
            role=role,
        )
        for name, email, pin, role in _PEOPLE
    )
