"""Drives the simulated device with PyPI `controlid-sdk`, a client that nobody here wrote.

Arguments: the device's address, its number. The tester's hands are on the other side of the pipe: a line on standard
output is done there and answered with a line of JSON on standard input. "rows OBJECT" gives what the device holds,
"requests" what reached it since it was last asked, as path, body and status; "swipe PORTAL CARD" gives event, user and
whether the portal opened; "forget" ends every session. Anything that is not as expected ends the script with a
traceback and a status other than 0.

Where client and device differ is in DEVIATIONS, each with its reason and tried as well.
"""

import asyncio
import json
import sys

from controlid import (
    AccessLog,
    AuthenticationError,
    BadRequestError,
    Card,
    ControlIDClient,
    ControlIDError,
    Device,
    NotFoundError,
    TimeSpan,
    TimeZone,
    User,
    UserRole,
)

ADDRESS = sys.argv[1]
DEVICE = int(sys.argv[2])
CARD = 123 << 32 | 45678
OTHER = 123 << 32 | 45679
LARGE = 2**62 + 3
NOT_IDENTIFIED, DENIED, GRANTED, REMOTE = 3, 6, 7, 10
# Noon of Monday, 2 March 2026, as the device counts: local time as if it were UTC.
NOON = 1772452800
HOUR = 3600


def same(seen, expect):
    assert seen == expect, f"{seen!r} instead of {expect!r}"


def wish(*words):
    print(*words, flush=True)
    return json.loads(sys.stdin.readline())


def swipe(portal, card):
    return wish("swipe", portal, card)


async def raises(error, awaitable, words=None):
    """Exactly that error, and exactly those words of the device."""
    try:
        await awaitable
    except ControlIDError as raised:
        same(type(raised), error)
        if words is not None:
            same(json.loads(raised.response), {"error": words, "code": 1})
        return
    raise AssertionError(f"{error.__name__} was not raised")


async def agree(client, *objects):
    """What the client is shown is what the device holds; the hands see nothing of passwords."""
    for name in objects:
        rows = await client.load_objects(name)
        shown = [{key: value for key, value in row.items() if key not in ("password", "salt")} for row in rows]
        same(shown, wish("rows", name))


async def signing_in(client):
    same(await client.is_session_valid(), False)
    await client.login()
    same(await client.is_session_valid(), True)
    information = await client.get_system_information()
    same((information["device_id"], information["time"]), (str(DEVICE), NOON))
    same([Device(**row) for row in await client.load_objects("devices")][0].id, DEVICE)
    # A session that ended is opened anew, and what was asked is asked again.
    wish("forget")
    wish("requests")
    same(await client.get_users(), [])
    asked = ["/load_objects.fcgi", {"object": "users"}]
    login = ["/login.fcgi", {"login": "admin", "password": "(struck)"}, 200]
    same(wish("requests"), [[*asked, 401], login, [*asked, 200]])


async def people(client):
    ana = await client.add_user(User(name="Ana Lima", registration="17"))
    same(await client.get_user(ana), User(id=ana, name="Ana Lima", registration="17"))
    same(await client.get_user(ana + 1), None)
    await client.update_user(ana, name="Ana Maria Lima")
    same((await client.get_user(ana)).name, "Ana Maria Lima")
    await client.upsert_users([User(id=LARGE, name="Bob")])
    # All rows of one request have the same fields.
    again = User(id=ana, name="Ana", registration="17")
    await client.upsert_users([User(id=LARGE, name="Bob Reis", registration="18"), again])
    held = [(user.id, user.name, user.registration) for user in await client.get_users()]
    same(held, [(ana, "Ana", "17"), (LARGE, "Bob Reis", "18")])
    await agree(client, "users")
    await client.delete_user(LARGE)
    same([user.id for user in await client.get_users()], [ana])
    half = client.create_objects("users", [{"name": "Eve"}])
    await raises(BadRequestError, half, "Invalid member 'registration' (missing)")
    return ana


async def cards(client, ana):
    wish("requests")
    card = await client.add_card(Card(value=CARD, user_id=ana))
    same(await client.get_cards(user_id=ana), [Card(id=card, value=CARD, user_id=ana)])
    same(await client.get_cards(value=OTHER), [])
    await client.delete_card(card)
    # To the letter: what the device is made to understand is what somebody else sends.
    same(wish("requests"), [
        ["/create_objects.fcgi", {"object": "cards", "values": [{"value": CARD, "user_id": ana}]}, 200],
        ["/load_objects.fcgi", {"object": "cards", "where": {"cards": {"user_id": ana}}}, 200],
        ["/load_objects.fcgi", {"object": "cards", "where": {"cards": {"value": OTHER}}}, 200],
        ["/destroy_objects.fcgi", {"object": "cards", "where": {"cards": {"id": card}}}, 200],
    ])
    same((await client.get_cards(), wish("rows", "cards")), ([], []))

    await client.upsert_cards([Card(id=LARGE, value=CARD, user_id=ana)])
    await client.add_qr_code(ana, OTHER)
    await agree(client, "cards")
    same([card.id for card in await client.get_cards()], [LARGE, LARGE + 1])
    same(await client.update_objects("cards", {"value": 7}, where={"value": OTHER}), 0)
    same([card.value for card in await client.get_cards(user_id=ana)], [CARD, 7])
    taken = client.add_card(Card(value=CARD, user_id=ana))
    await raises(BadRequestError, taken, "UNIQUE constraint failed: cards.value")
    nobodys = client.add_card(Card(value=9, user_id=ana + 1))
    await raises(BadRequestError, nobodys, "FOREIGN KEY constraint failed")
    await client.destroy_objects("cards", where={"value": [7, 8]})
    same([card.value for card in await client.get_cards()], [CARD])


async def rights(client, ana):
    """Who enters where and when, as the client wrote it."""
    same(swipe(1, CARD), [DENIED, ana, False])
    mornings = await client.create_time_zone("Mornings")
    same(await client.get_time_zones(), [TimeZone(id=1, name="Always"), TimeZone(id=mornings, name="Mornings")])
    hours = TimeSpan(time_zone_id=mornings, start=8 * HOUR, end=12 * HOUR, mon=1, tue=1)
    weekend = TimeSpan(time_zone_id=mornings, start=0, end=24 * HOUR - 1, sat=1, sun=1)
    ids = await client.add_time_spans([hours, weekend])
    same([span.id for span in await client.get_time_spans(mornings)], ids)
    same((await client.get_time_spans(mornings))[0], hours.model_copy(update={"id": ids[0]}))

    rule = await client.create_access_rule("Mornings")
    await client.assign_access_rule_time_zone(rule, mornings)
    await client.assign_portal_access_rule(1, rule)
    await client.assign_user_access_rule(ana, rule)
    same(await client.get_user_access_rules(ana), [{"user_id": ana, "access_rule_id": rule}])
    same(await client.get_access_rule_time_zones(rule), [{"access_rule_id": rule, "time_zone_id": mornings}])
    same((swipe(1, CARD), swipe(2, CARD)), ([GRANTED, ana, True], [DENIED, ana, False]))
    # The last second of the hours was noon.
    await client.update_objects("time_spans", {"end": 12 * HOUR - 1}, where={"id": ids[0]})
    same(swipe(1, CARD), [DENIED, ana, False])
    await client.update_objects("time_spans", {"end": 12 * HOUR}, where={"id": ids[0]})
    await client.remove_access_rule_time_zone(rule, mornings)
    same(swipe(1, CARD), [DENIED, ana, False])

    # All of a rule at once, and the rule is the same.
    synced = client.sync_access_rule_full("Mornings", user_ids=[ana], time_zone_ids=[mornings], portal_ids=[2])
    same(await synced, rule)
    same((swipe(1, CARD), swipe(2, CARD)), ([DENIED, ana, False], [GRANTED, ana, True]))
    await client.remove_user_access_rule(ana, rule)
    same(swipe(2, CARD), [DENIED, ana, False])

    # By a group, and a rule that blocks comes before one that allows.
    staff = await client.create_group("Staff")
    same([group["name"] for group in await client.get_groups()], ["Standard", "Staff"])
    await client.add_user_to_group(ana, staff)
    await client.assign_group_access_rule(staff, rule)
    same(await client.get_group_access_rules(staff), [{"group_id": staff, "access_rule_id": rule}])
    same(swipe(2, CARD), [GRANTED, ana, True])
    blocked = {"group_ids": [staff], "time_zone_ids": [1], "portal_ids": [2]}
    never = await client.create_access_rule("Never", rule_type=0)
    same(await client.sync_access_rule_full("Never", **blocked), never)
    same(swipe(2, CARD), [DENIED, ana, False])
    same([(row["id"], row["type"]) for row in await client.get_access_rules()], [(1, 1), (rule, 1), (never, 0)])
    await agree(client, "groups", "user_groups", "group_access_rules", "user_access_rules", "access_rules", "areas")
    await agree(client, "portals", "portal_access_rules", "access_rule_time_zones", "time_zones", "time_spans")
    await client.remove_group_access_rule(staff, never)
    same(swipe(2, CARD), [GRANTED, ana, True])
    await client.remove_user_from_group(ana, staff)
    same(swipe(2, CARD), [DENIED, ana, False])
    await client.delete_time_zone(mornings)
    same(await client.get_time_spans(mornings), [])
    await agree(client, "time_spans", "access_rule_time_zones")


async def logs(client, ana):
    """What happened so far, by number."""
    same(swipe(1, OTHER), [NOT_IDENTIFIED, 0, False])
    held = wish("rows", "access_logs")
    same([row["id"] for row in held], list(range(1, len(held) + 1)))
    same(await client.get_logs(limit=len(held)), [AccessLog(**row) for row in held])
    first, last = held[0], held[-1]
    same((first["event"], first["user_id"], first["portal_id"], first["card_value"]), (DENIED, ana, 1, CARD))
    same((last["event"], last["user_id"], last["device_id"], last["time"]), (NOT_IDENTIFIED, 0, DEVICE, NOON))
    page = {"order": ["id", "descending"], "limit": 1, "offset": 1}
    second = await client.load_objects("access_logs", where={"event": GRANTED}, **page)
    same(second, [row for row in held if row["event"] == GRANTED][-2:-1])
    after = client.load_objects("access_logs", where={"id": {">": last["id"] - 2}})
    same(await after, held[-2:])


async def signs_in_twice(_client, _ana):
    wish("requests")
    async with ControlIDClient(ADDRESS, password="wrong", timeout=3) as stranger:
        try:
            await stranger.login()
        except AuthenticationError as error:
            assert str(error).startswith("Connection failed") and str(error).endswith(" on https"), error
        same(stranger.session, None)
    same([(path, status) for path, _, status in wish("requests")], [("/login.fcgi", 401)])


async def counts(client, ana):
    same(await client.update_user(ana, name="Ana"), 0)
    same(await client.destroy_objects("cards", where={"value": CARD}), 0)
    same(wish("rows", "cards"), [])
    same(await client.upsert_cards([Card(id=1, value=CARD, user_id=ana)]), [])
    same(wish("rows", "cards"), [{"id": 1, "value": CARD, "user_id": ana}])


async def empty_answers(client, _ana):
    await raises(ControlIDError, client.open_door(2))
    await raises(ControlIDError, client.open_sec_box(65793))
    opened = [(row["event"], row["portal_id"]) for row in wish("rows", "access_logs")[-2:]]
    same(opened, [(REMOTE, 2), (REMOTE, 1)])
    await raises(ControlIDError, client.set_configuration({"general": {"beep_enabled": "0"}}))
    asked = client.request("/get_configuration.fcgi", {"general": ["beep_enabled"]})
    same(await asked, {"general": {"beep_enabled": "0"}})
    await raises(ControlIDError, client.set_system_time(NOON + HOUR))
    same((await client.get_system_information())["time"], NOON + HOUR)


async def order(client, _ana):
    await raises(BadRequestError, client.get_access_logs_raw(limit=1), "Invalid member 'time DESC' (unknown)")


async def newest(client, _ana):
    same([log.id for log in await client.get_logs(limit=2)], [1, 2])


async def roles(client, ana):
    visitor = client.create_user_role(UserRole(name="Visitor"))
    await raises(BadRequestError, visitor, "Invalid member 'name' (unknown)")
    await raises(BadRequestError, client.assign_user_role(ana, 1), "Invalid member 'role_id' (unknown)")
    await client.create_objects("user_roles", [{"user_id": ana, "role": 1}])
    same(await client.get_user_roles(), [{"user_id": ana, "role": 1}])
    await client.destroy_objects("user_roles", where={"user_id": ana})


async def types_of_cards(client, ana):
    typed = client.add_card(Card(value=OTHER, user_id=ana, type=0))
    await raises(BadRequestError, typed, "Invalid member 'type' (unknown)")


async def not_simulated(client, ana):
    areas = client.assign_area_access_rule(1, 1)
    await raises(BadRequestError, areas, "Invalid object 'area_access_rules'")
    await raises(BadRequestError, client.get_turnstile_info(), "Invalid object 'catra_infos'")
    await raises(BadRequestError, client.get_custom_user_data(ana), "Invalid object 'c_users'")
    await raises(NotFoundError, client.get_gpio_status())
    await raises(NotFoundError, client.remote_enroll_face(ana))
    await raises(NotFoundError, client.reboot())


# What is tried, and why client and device differ in it. In none of them is the client a better witness than the
# vendor's documents, which the device follows.
DEVIATIONS = [
    (signs_in_twice, "a password that is refused is tried over HTTPS, too, and the client speaks of the connection"),
    (counts, "the client looks for `count` and `ids` where the documents say `changes`, and sees nothing done"),
    (empty_answers, "the documents say that these answer nothing; the client wants JSON, and fails after it was done"),
    (order, "the client puts SQL into `order`; the documents list names of fields, `ascending` and `descending`"),
    (newest, "the client promises the most recent logs and asks for no order: it gets the oldest"),
    (roles, "to the client roles are kinds of people with names; the documents say who administers the device"),
    (types_of_cards, "the client says itself that not every firmware knows the field; the documents do not have it"),
    (not_simulated, "areas, turnstiles, fields of one's own, pins, faces and restarts are left out of the simulator"),
]


async def main():
    async with ControlIDClient(ADDRESS, verify=False) as client:
        await signing_in(client)
        ana = await people(client)
        await cards(client, ana)
        await rights(client, ana)
        await logs(client, ana)
        for deviation, reason in DEVIATIONS:
            try:
                await deviation(client, ana)
            except Exception as error:
                raise AssertionError(f"no longer so: {reason}") from error
        await client.delete_user(ana)
        same((await client.get_cards(), await client.get_users()), ([], []))
        token = client.session
        await client.logout()
        client.session = token
        same(await client.is_session_valid(), False)


asyncio.run(main())
