"""A mail server that nobody here wrote (aiosmtpd), and a reader of letters (Python's email).

    python smtp.py PORT [CERTIFICATE KEY [USER PASSWORD]]

Prints "ready", then each letter that it takes as a line of JSON. With a certificate it takes letters only after
STARTTLS, with a user only from that user. It refuses every address that begins with "nobody".
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 there is no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        letter = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: letter.get_body(preferencelist=(kind,)).get_content()
        say({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in letter.items()},
            "defects": [str(defect) for defect in letter.defects],
            "text": part("plain"),
            "html": part("html"),
            "tls": session.ssl is not None,
        })
        return "250 taken"


def options(arguments):
    chosen = {"enable_SMTPUTF8": True}
    if arguments:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments[0], arguments[1])
        chosen |= {"tls_context": context, "require_starttls": True}
    if arguments[2:]:
        known = tuple(text.encode() for text in arguments[2:4])
        check = lambda server, session, envelope, mechanism, data: AuthResult(
            success=(data.login, data.password) == known, handled=False
        )
        chosen |= {"authenticator": check, "auth_required": True}
    return chosen


async def main():
    chosen = options(sys.argv[2:])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), **chosen), "127.0.0.1", int(sys.argv[1]))
    say("ready")
    await server.serve_forever()


asyncio.run(main())
