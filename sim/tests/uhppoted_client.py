"""Drives the simulated controller with PyPI `uhppoted`, a client that nobody here wrote.

Arguments: serial number, address:port. The tester's hands are on the other side of the pipe: a line "swipe CARD
DOOR" on standard output is done there and answered with "GRANTED REASON INDEX" on standard input. Anything that
is not as expected ends the script with a traceback and a status other than 0.
"""

import datetime
import ipaddress
import socket
import sys

from uhppoted import decode, errors
from uhppoted.structs import Card, DoorMode
from uhppoted.uhppote import Uhppote

SERIAL = int(sys.argv[1])
ADDRESS = sys.argv[2]
PANEL = (SERIAL, ADDRESS)
CARD = 12345678
OTHER = 87654321
JAN, DEC = datetime.date(2026, 1, 1), datetime.date(2026, 12, 31)

api = Uhppote(bind="127.0.0.1", broadcast=ADDRESS)


def same(seen, expect):
    assert seen == expect, f"{seen!r} instead of {expect!r}"


def raises(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"{call.__name__}{arguments} did not raise {error.__name__}")


def swipe(card, door):
    print(f"swipe {card} {door}", flush=True)
    granted, reason, index = sys.stdin.readline().split()
    return granted == "true", int(reason), int(index)


def card(number, **changes):
    rights = {"start_date": JAN, "end_date": DEC, "permissions": {1: 1, 2: 0, 3: 29, 4: 1}, "pin": 7531, "firstcard": {}}
    rights.update(changes)
    return Card(number, **rights)


# Who is there.
found = api.get_all_controllers(timeout=1)
same([(c.controller, str(c.ip_address), c.version) for c in found], [(SERIAL, "127.0.0.1", "v8.92")])
same(api.get_controller(PANEL).controller, SERIAL)

# Its clock, at noon on 2 March 2026 for as long as nobody sets it.
noon = datetime.datetime(2026, 3, 2, 12, 0, 0)
same(api.get_time(PANEL).datetime, noon)
evening = datetime.datetime(2026, 3, 2, 20, 15, 30)
same(api.set_time(PANEL, evening).datetime, evening)
same(api.get_time(PANEL).datetime, evening)
same(api.set_time(PANEL, noon).datetime, noon)

# Cards.
same(api.get_cards(PANEL).cards, 0)
raises(errors.CardNotFound, api.get_card_record, PANEL, CARD)
same(api.put_card(PANEL, CARD, JAN, DEC, 1, 0, 29, 1, 7531).stored, True)
got = api.get_card(PANEL, CARD)
same((got.card_number, got.start_date, got.end_date), (CARD, JAN, DEC))
same((got.door_1, got.door_2, got.door_3, got.door_4, got.pin), (1, 0, 29, 1, 7531))
same(api.put_card_record(PANEL, card(OTHER, firstcard={1: True, 4: True})), True)
same(api.get_card_record(PANEL, OTHER).firstcard, {1: True, 2: False, 3: False, 4: True})
same(api.get_cards(PANEL).cards, 2)
same(api.get_card_by_index(PANEL, 2).card_number, OTHER)
same(api.get_card_by_index(PANEL, 3).card_number, 0)
same(api.put_card(PANEL, 0, JAN, DEC, 1, 0, 0, 0, 0).stored, False)
same(api.get_cards(PANEL).cards, 2)

# Doors and time profiles.
same(swipe(CARD, 1), (True, 1, 1))
same(swipe(CARD, 2), (False, 6, 2))
same(swipe(CARD, 3), (False, 15, 3))
nine, five, never = datetime.time(9, 0), datetime.time(17, 30), datetime.time(0, 0)
weekdays = [True] * 5 + [False] * 2
hours = [nine, five, never, never, never, never]
raises(errors.TimeProfileNotFound, api.get_time_profile_record, PANEL, 29)
same(api.set_time_profile(PANEL, 29, JAN, DEC, *weekdays, *hours, 0).stored, True)
profile = api.get_time_profile(PANEL, 29)
same((profile.profile_id, profile.start_date, profile.end_date), (29, JAN, DEC))
same((profile.monday, profile.friday, profile.saturday, profile.sunday), (True, True, False, False))
same((profile.segment_1_start, profile.segment_1_end, profile.segment_2_end), (nine, five, never))
same(swipe(CARD, 3), (True, 1, 4))
api.set_time(PANEL, evening)
same(swipe(CARD, 3), (False, 15, 5))
api.set_time(PANEL, noon)
same(api.delete_all_time_profiles(PANEL).deleted, True)
raises(errors.TimeProfileNotFound, api.get_time_profile_record, PANEL, 29)

# Validity dates, which a lenient simulator would wave through.
same(api.put_card(PANEL, CARD, JAN, datetime.date(2026, 3, 1), 1, 0, 0, 0, 0).stored, True)
same(swipe(CARD, 1), (False, 15, 6))
same(api.put_card(PANEL, CARD, JAN, datetime.date(2026, 3, 2), 1, 0, 0, 0, 0).stored, True)
same(swipe(CARD, 1), (True, 1, 7))

# A leaver: the listener hears of the denial.
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("127.0.0.1", 0))
ear.settimeout(5)
loopback, port = ipaddress.IPv4Address("127.0.0.1"), ear.getsockname()[1]
same(api.set_listener(PANEL, loopback, port, 3).ok, True)
listener = api.get_listener(PANEL)
same((listener.address, listener.port, listener.interval), (loopback, port, 3))
same(api.delete_card(PANEL, CARD).deleted, True)
raises(errors.CardNotFound, api.get_card_record, PANEL, CARD)
raises(errors.CardDeleted, api.get_card_record_by_index, PANEL, 1)
same(api.delete_card(PANEL, CARD).deleted, False)
same(swipe(CARD, 1), (False, 18, 8))
event = decode.event(ear.recv(1024))
same((event.controller, event.event_index, event.event_type), (SERIAL, 8, 1))
same((event.event_card, event.event_door, event.event_access_granted, event.event_reason), (CARD, 1, False, 18))
same((event.event_timestamp, event.system_date, event.system_time), (noon, noon.date(), noon.time()))
same(api.set_listener(PANEL, ipaddress.IPv4Address("0.0.0.0"), 0).ok, True)

# Events by number.
last = api.get_event_record(PANEL, 0xFFFFFFFF)
same((last.index, last.card, last.door, last.access_granted, last.reason), (8, CARD, 1, False, 18))
first = api.get_event_record(PANEL, 1)
same((first.index, first.card, first.access_granted, first.timestamp), (1, CARD, True, noon))
raises(errors.EventNotFound, api.get_event_record, PANEL, 9)
same(api.get_event_index(PANEL).event_index, 0)
same(api.set_event_index(PANEL, 8).updated, True)
same(api.get_event_index(PANEL).event_index, 8)

# The rest of the door's life.
same(api.open_door(PANEL, 4).opened, True)
status = api.get_status(PANEL)
same((status.event_index, status.event_type, status.event_door, status.event_reason), (9, 2, 4, 44))
same((status.system_date, status.system_time, status.relays & 0b1000), (noon.date(), noon.time(), 0b1000))
shut = api.set_door_control(PANEL, 4, 2, 7)
same((shut.door, shut.mode, shut.delay), (4, DoorMode.NORMALLY_CLOSED.value, 7))
same((api.get_door_control(PANEL, 4).mode, api.get_door_control(PANEL, 4).delay), (2, 7))
same(api.open_door(PANEL, 4).opened, False)
same(api.record_special_events(PANEL, True).updated, True)
same(api.set_door_passcodes(PANEL, 1, 111111, 222222, 0, 0).ok, True)
same(api.delete_all_cards(PANEL).deleted, True)
same(api.get_cards(PANEL).cards, 0)

# What this panel does not have stays unanswered.
raises(TimeoutError, api.set_interlock, PANEL, 1, 0.2)
