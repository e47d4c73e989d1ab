import pytest

from tests.config.loading import HEAD, SHOP, config_of, problems_of

TWO = """\
services:
  shop: {versions: {stable: {}, canary: {}}, active: stable}
  api: {versions: {blue: {}, green: {}}, active: blue}
"""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("split: {stable: 1, cnary: 1}", "services.shop.split: unknown version 'cnary' (did you mean 'canary'?)"),
        ("split: {x: 1}", "services.shop.split: unknown version 'x'"),
        ("active: stabel", "services.shop.active: unknown version 'stabel' (did you mean 'stable'?)"),
        ("active: stable, stable: blue", "services.shop.stable: unknown version 'blue'"),
        ("active: stable, fallback: canry", "services.shop.fallback: unknown version 'canry' (did you mean 'canary'?)"),
        ("active: stable, split: {stable: 1}", "services.shop: takes either split or active, not both"),
        ("split: {stable: 0, canary: 0}", "services.shop.split: at least one weight must be more than 0"),
        ("split: {}", "services.shop.split: at least one weight must be more than 0"),
        ("split: {stable: -1}", "services.shop.split.stable: a weight lies between 0 and 1e+09, not -1"),
        ("split: {stable: .inf}", "services.shop.split.stable: a weight lies between 0 and 1e+09, not inf"),
        ("split: {stable: 99%}", "services.shop.split.stable: a weight is a number, not '99%'"),
        (
            "balance: hash",
            "services.shop: needs a split (split: {stable: 99, canary: 1}) or one active version (active: blue)",
        ),
        (
            "active: stable, hash_key: own-cookie",
            "services.shop.hash_key: own-cookie needs a sticky key with own-cookie, which issues the cookie",
        ),
    ],
)
def test_a_split_that_does_not_fit_its_versions_is_refused(settings: str, problem: str):
    text = f"{HEAD}services: {{shop: {{versions: {{stable: {{}}, canary: {{}}}}, {settings}}}}}\n"
    assert [found.split(": ", 1)[1] for found in problems_of(text)] == [problem]


@pytest.mark.parametrize("settings", ["fallback: none", "fallback: off", "fallback: null", "sticky: off, hash_key: ip"])
def test_there_need_not_be_a_fallback(settings: str):
    text = f"{HEAD}services: {{shop: {{versions: {{stable: {{}}, canary: {{}}}}, active: stable, {settings}}}}}\n"
    assert config_of(text).services["shop"].fallback == (None if "fallback" in settings else "stable")


def test_a_service_has_so_many_versions_as_a_worker_can_choose_from():
    text = f"{HEAD}services: {{shop: {{active: v1, versions: {{%s}}}}}}"
    assert len(config_of(text % ", ".join(f"v{i}: {{}}" for i in range(64))).services["shop"].versions) == 64
    assert problems_of(text % ", ".join(f"v{i}: {{}}" for i in range(65))) == [
        "2:41: services.shop.versions: a service has at most 64 versions"
    ]


def test_an_address_serves_one_version_of_a_service():
    text = HEAD + SHOP.replace('"127.0.0.1:9003"', '"127.0.0.1:9003", "127.0.0.1:9001", "127.0.0.1:9003"')
    assert problems_of(text) == [
        "6:46: services.shop.versions.canary.endpoints[1]: 127.0.0.1:9001 is an endpoint of this service already",
        "6:64: services.shop.versions.canary.endpoints[2]: 127.0.0.1:9003 is an endpoint of this service already",
    ]


def test_the_same_address_in_two_spellings_is_the_same():
    text = HEAD + SHOP.replace('"127.0.0.1:9001"', '"[::1]:1"').replace('"127.0.0.1:9003"', '"[0:0::1]:1"')
    assert problems_of(text) == [
        "6:28: services.shop.versions.canary.endpoints[0]: [::1]:1 is an endpoint of this service already"
    ]


def test_an_address_listens_once_but_any_free_port_is_another_each_time():
    assert problems_of("listen: [{address: 'a:1'}, {address: 'A:1'}, {address: '127.0.0.1:9900'}]\n" + SHOP) == [
        "1:38: listen[1].address: a:1 is listened on already",
        "1:56: listen[2].address: 127.0.0.1:9900 is listened on already",
    ]
    text = "listen: [{address: 'a:0'}, {address: 'a:0'}]\nadmin: {address: '127.0.0.1:0'}\n" + SHOP
    assert len(config_of(text).listen) == 2


@pytest.mark.parametrize(
    ("routes", "problem"),
    [
        ("[{service: shp}]", "5:20: routes[0].service: unknown service 'shp' (did you mean 'shop'?)"),
        ("[{service: shop, version: blue}]", "5:35: routes[0].version: unknown version 'blue'"),
        ("[{service: api, version: gren}]", "5:34: routes[0].version: unknown version 'gren' (did you mean 'green'?)"),
        ("[{match: {host: a}, service: api}, {service: shop, match: {host: a}}]", "5:44: routes[1]: is never reached"),
        ("[{service: api}, {service: shop, match: {}}]", "5:26: routes[1]: is never reached: routes[0] has the same"),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(routes: str, problem: str):
    (found,) = problems_of(f"{HEAD}{TWO}routes: {routes}")
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("rollouts", "problem"),
    [
        ("{shp: {strategy: canary, from: a, to: b}}", "rollouts: unknown service 'shp' (did you mean 'shop'?)"),
        ("{shop: {strategy: canary, from: stabl, to: canary}}", "rollouts.shop.from: unknown version 'stabl' (did you"),
        ("{shop: {strategy: canary, from: stable, to: x}}", "rollouts.shop.to: unknown version 'x'"),
        ("{shop: {strategy: canary, from: stable, to: stable}}", "rollouts.shop: from and to are both 'stable'"),
        (
            "{shop: {strategy: canary, from: stable, to: canary, checks: [{kind: latency}, {kind: latency}]}}",
            "rollouts.shop.checks[1]: another check is called latency already; give this one a name",
        ),
    ],
)
def test_a_rollout_between_things_that_are_not_there_is_refused(rollouts: str, problem: str):
    (found,) = problems_of(f"{HEAD}{SHOP}rollouts: {rollouts}")
    assert found.split(": ", 1)[1].startswith(problem)


def test_references_are_checked_although_something_else_has_the_wrong_shape():
    routes = "[{service: shp}, nothing, {service: 3, match: {host: a}}]"
    text = f"{HEAD}{SHOP}workers: many\nroutes: {routes}\nrollouts: [1]\n"
    assert problems_of(text) == [
        "8:10: workers: must be auto or a number from 1 to 256, not 'many'",
        "9:20: routes[0].service: unknown service 'shp' (did you mean 'shop'?)",
        "9:26: routes[1]: must be a mapping, not 'nothing'",
        "9:45: routes[2].service: must be text, and YAML reads 3 as something else; put it in quotes",
        "10:11: rollouts: must be a mapping, not a list",
    ]
