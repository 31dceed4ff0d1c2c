"""The large config: thousands of sites with some routes each, as text."""

from scenarios import ROUTES


def host(number):
    return f"s{number}.example"


def many(count):
    """`count` sites beside the default one, each with `ROUTES` routes to the same upstream."""
    return "".join(one(number) for number in range(count))


def one(number):
    routes = "".join(
        f'[[site.route]]\npath = "/r{route}/*"\nupstream = "app"\n' for route in range(ROUTES)
    )
    return f'\n[[site]]\nhosts = ["{host(number)}"]\n{routes}'
