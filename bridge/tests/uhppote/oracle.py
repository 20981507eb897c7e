"""Writes golden.txt: what PyPI `uhppoted` 0.9.1.1 says the bytes are.

`python oracle.py` prints the table. One line each:

    request NAME ARGUMENTS HEX      what the codec encodes
    reply   NAME FIELDS    HEX      what the codec decodes

Replies are made from random bytes with a fixed seed, so that every field is told from its neighbours; the
ones that stand for something (no card, no event, an empty date) are added by hand.
"""

import datetime
import ipaddress
import random

from uhppoted import decode, encode

SERIAL = 405419896
RANDOM = random.Random(20261122)


def request(name, arguments, packet):
    print("request", name, arguments, bytes(packet).hex())


def date(year=None):
    return datetime.date(year or RANDOM.randint(2000, 2099), RANDOM.randint(1, 12), RANDOM.randint(1, 28))


def date_time():
    return datetime.datetime.combine(
        date(), datetime.time(RANDOM.randrange(24), RANDOM.randrange(60), RANDOM.randrange(60))
    )


def bcd(text):
    return bytes.fromhex(text)


def text(value):
    """The one spelling of a value that both sides use."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S")
    return str(value)


def reply(name, packet, fields):
    print("reply", name, ",".join(text(field) for field in fields), bytes(packet).hex())


def requests():
    for _ in range(3):
        number, pin = RANDOM.randrange(1, 25_565_536), 0
        doors = [RANDOM.choice([0, 1, RANDOM.randint(2, 254)]) for _ in range(4)]
        start, end = date(), date()
        packet = encode.put_card_request(SERIAL, number, start, end, *doors, pin)
        request("put-card", ",".join(map(str, [number, start, end, *doors])), packet)
    number = RANDOM.randrange(1, 2**32 - 1)
    request("delete-card", number, encode.delete_card_request(SERIAL, number))
    request("count-cards", "-", encode.get_cards_request(SERIAL))
    request("get-card", number, encode.get_card_request(SERIAL, number))
    request("get-card-at", 29, encode.get_card_by_index_request(SERIAL, 29))
    at = date_time()
    request("set-time", text(at), encode.set_time_request(SERIAL, at))
    request("get-time", "-", encode.get_time_request(SERIAL))
    request("get-status", "-", encode.get_status_request(SERIAL))
    request("get-event", 0, encode.get_event_request(SERIAL, 0))
    request("get-event", 2**32 - 1, encode.get_event_request(SERIAL, 2**32 - 1))
    request("get-event-index", "-", encode.get_event_index_request(SERIAL))
    request("set-event-index", number, encode.set_event_index_request(SERIAL, number))
    for enabled in (True, False):
        request("record-special-events", text(enabled), encode.record_special_events_request(SERIAL, enabled))
    address = ipaddress.IPv4Address("192.168.1.100")
    request("set-listener", "192.168.1.100:60001,17", encode.set_listener_request(SERIAL, address, 60001, 17))
    request("get-listener", "-", encode.get_listener_request(SERIAL))
    request("get-controller", "-", encode.get_controller_request(SERIAL))
    for door in range(1, 5):
        request("get-door", door, encode.get_door_control_request(SERIAL, door))
    for mode in (1, 2, 3):
        request("set-door", f"3,{mode},7", encode.set_door_control_request(SERIAL, 3, mode, 7))
    codes = [RANDOM.randrange(1_000_000) for _ in range(4)]
    arguments = ",".join(map(str, [2, *codes]))
    request("set-passcodes", arguments, encode.set_door_passcodes_request(SERIAL, 2, *codes))


def blank(operation, start=0x17):
    """A reply full of random bytes. Booleans and dates are put in by `put`."""
    packet = bytearray(RANDOM.randbytes(64))
    packet[0], packet[1], packet[2], packet[3] = start, operation, 0, 0
    packet[4:8] = SERIAL.to_bytes(4, "little")
    return packet


def put(packet, offset, value):
    packet[offset : offset + len(value)] = value
    return packet


def stamp():
    return bcd(date_time().strftime("%Y%m%d%H%M%S"))


def flags():
    for name, operation, decoder, field in [
        ("put-card", 0x50, decode.put_card_response, "stored"),
        ("delete-card", 0x52, decode.delete_card_response, "deleted"),
        ("set-event-index", 0xB2, decode.set_event_index_response, "updated"),
        ("record-special-events", 0x8E, decode.record_special_events_response, "updated"),
        ("set-listener", 0x90, decode.set_listener_response, "ok"),
        ("set-passcodes", 0x8C, decode.set_door_passcodes_response, "ok"),
    ]:
        for flag in (0, 1):
            packet = put(blank(operation), 8, bytes([flag]))
            reply(name, packet, [getattr(decoder(packet), field)])


def cards():
    for name, operation, decoder in [
        ("get-card", 0x5A, decode.get_card_response),
        ("get-card-at", 0x5C, decode.get_card_by_index_response),
    ]:
        for number, dates in [(None, True), (None, True), (None, False), (0, False), (2**32 - 1, False)]:
            packet = blank(operation)
            if number is not None:
                put(packet, 8, number.to_bytes(4, "little"))
            put(packet, 12, bcd(date().strftime("%Y%m%d") + date().strftime("%Y%m%d")) if dates else bytes(8))
            packet[27] &= 0x0F
            r = decoder(packet)
            first = sum(1 << (door - 1) for door, privileged in r.firstcard.items() if privileged)
            doors = [r.door_1, r.door_2, r.door_3, r.door_4]
            reply(name, packet, [r.card_number, r.start_date, r.end_date, *doors, r.pin, first])


def event_fields(r, prefix=""):
    names = ["door", "direction", "card", "timestamp", "reason"]
    index = r.event_index if prefix else r.index
    granted = getattr(r, "event_access_granted" if prefix else "access_granted")
    return [index, r.event_type, granted, *[getattr(r, prefix + name) for name in names]]


def events():
    for kind in (0, 1, 2, 3, 0xFF):
        packet = put(put(blank(0xB0), 12, bytes([kind, kind & 1])), 20, stamp())
        reply("get-event", packet, event_fields(decode.get_event_response(packet)))
    packet = put(put(blank(0xB0), 12, bytes([1, 0])), 20, bytes(7))
    reply("get-event", packet, event_fields(decode.get_event_response(packet)))
    for start in (0x17, 0x19):
        packet = status_packet(start)
        reply("pushed-event", packet, [SERIAL, *event_fields(decode.event(packet), "event_")])


def status_packet(start=0x17):
    packet = put(put(blank(0x20, start), 13, bytes([RANDOM.randrange(2)])), 20, stamp())
    put(packet, 28, bytes(RANDOM.randrange(2) for _ in range(8)))
    put(packet, 37, bcd(date_time().strftime("%H%M%S")))
    return put(packet, 51, bcd(date().strftime("%y%m%d")))


def status():
    for index in (None, None, 0):
        packet = status_packet()
        if index is not None:
            put(packet, 8, index.to_bytes(4, "little"))
        r = decode.get_status_response(packet)
        doors = [getattr(r, f"door_{door}_{what}") for what in ("open", "button") for door in range(1, 5)]
        at = datetime.datetime.combine(r.system_date, r.system_time)
        own = [*doors, r.system_error, at, r.relays, r.inputs]
        reply("get-status", packet, own + (event_fields(r, "event_") if r.event_index else [0]))


def others():
    packet = blank(0x58)
    reply("count-cards", packet, [decode.get_cards_response(packet).cards])
    packet = blank(0xB4)
    reply("get-event-index", packet, [decode.get_event_index_response(packet).event_index])
    for name, operation, decoder in [
        ("get-time", 0x32, decode.get_time_response),
        ("set-time", 0x30, decode.set_time_response),
    ]:
        for packet in (put(blank(operation), 8, stamp()), put(blank(operation), 8, bytes(7))):
            reply(name, packet, [decoder(packet).datetime])
    packet = blank(0x92)
    r = decode.get_listener_response(packet)
    reply("get-listener", packet, [f"{r.address}:{r.port}", r.interval])
    packet = put(put(blank(0x94), 26, bcd("0662")), 28, bcd(date().strftime("%Y%m%d")))
    r = decode.get_controller_response(packet)
    fields = [r.ip_address, r.subnet_mask, r.gateway, r.mac_address, r.version, r.date]
    reply("get-controller", packet, fields)
    for name, operation, decoder in [
        ("get-door", 0x82, decode.get_door_control_response),
        ("set-door", 0x80, decode.set_door_control_response),
    ]:
        for mode in (1, 2, 3):
            packet = put(blank(operation), 8, bytes([3, mode]))
            r = decoder(packet)
            reply(name, packet, [r.door, r.mode, r.delay])


requests()
flags()
cards()
events()
status()
others()
