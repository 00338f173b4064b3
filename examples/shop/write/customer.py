"""Customers: current name and e-mail address."""

from dataclasses import dataclass

from twofold import Decider, Rejected


@dataclass(frozen=True, slots=True)
class PutCustomer:
    """Register the customer, or change name and e-mail. Only customers from the retailer's history have no e-mail."""

    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class CustomerPut:
    name: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Customer:
    name: str = ""  # empty: not registered
    email: str | None = None


def decide(command: PutCustomer, customer: Customer) -> list[CustomerPut]:
    if not command.name.strip():
        raise Rejected("A customer needs a name")
    unchanged = (command.name, command.email) == (customer.name, customer.email)
    return [] if unchanged else [CustomerPut(command.name, command.email)]


def evolve(customer: Customer, event: CustomerPut) -> Customer:
    return Customer(event.name, event.email)


customers = Decider("customer", Customer(), decide, evolve)
