from decimal import Decimal

import pytest

from shop.values import LARGEST, price_fault, quantity_fault
from shop.write.customer import CustomerPut, PutCustomer, customers
from shop.write.product import Product, ProductPut, PutProduct, products
from twofold import Rejected


def test_a_product_is_registered_and_changed() -> None:
    assert products.decide(PutProduct("Tea", Decimal("2.5")), products.initial) == [ProductPut("Tea", Decimal("2.5"))]
    tea = products.state([ProductPut("Tea", Decimal("2.5")), ProductPut("Green tea", Decimal(3))])
    assert tea == Product("Green tea", Decimal(3))


def test_putting_the_same_product_again_changes_nothing() -> None:
    tea = products.state([ProductPut("Tea", Decimal("2.5"))])
    assert products.decide(PutProduct("Tea", Decimal("2.50")), tea) == []


@pytest.mark.parametrize(
    ("name", "price"),
    [("", "1"), ("  ", "1"), ("Tea", "NaN"), ("Tea", "-Infinity"), ("Tea", "0.00001"), ("Tea", "1e10")],
)
def test_a_product_needs_a_name_and_a_price_that_is_one(name: str, price: str) -> None:
    with pytest.raises(Rejected):
        products.decide(PutProduct(name, Decimal(price)), products.initial)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_may_be_as_large_as_its_error_says(sign: int) -> None:
    at, beyond = sign * LARGEST, sign * (LARGEST + 1)
    assert (price_fault(Decimal(at)), quantity_fault(at)) == (None, None)
    assert price_fault(Decimal(beyond)) == f"The price {beyond} is beyond {LARGEST}"
    assert quantity_fault(beyond) == f"The quantity {beyond} is beyond {LARGEST}"


def test_a_customer_is_registered_and_changed() -> None:
    ann = customers.state([CustomerPut("Ann", None)])
    assert customers.decide(PutCustomer("Ann", None), ann) == []
    assert customers.decide(PutCustomer("Ann", "ann@example.com"), ann) == [CustomerPut("Ann", "ann@example.com")]


def test_a_customer_needs_a_name() -> None:
    with pytest.raises(Rejected):
        customers.decide(PutCustomer("", "ann@example.com"), customers.initial)
