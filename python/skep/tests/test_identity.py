"""Where credentials and masters are looked for."""

import base64
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import skep
from skep import client, identity


class IdentityTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def environment(self, **variables):
        patch = mock.patch.dict(os.environ, variables, clear=True)
        patch.start()
        self.addCleanup(patch.stop)

    def save(self, folder):
        folder.mkdir(parents=True)
        for name in ("cert.pem", "key.pem", "ca.pem"):
            (folder / name).write_text("")
        return folder

    def test_the_identity_that_skep_keeps_is_found(self):
        self.environment(HOME=str(self.folder))
        kept = self.save(self.folder / ".config/skep/clusters/127.0.0.1_5050")
        self.assertEqual(identity.find(None, "127.0.0.1:5050"), kept)
        v6 = self.save(self.folder / ".config/skep/clusters/___1__5050")
        self.assertEqual(identity.find(None, client.shown(("::1", 5050))), v6)

    def test_what_is_said_goes_before_what_is_kept(self):
        given, set_ = self.save(self.folder / "given"), self.save(self.folder / "set")
        self.environment(SKEP_IDENTITY=str(set_))
        self.assertEqual(identity.find(None, "m:5050"), set_)
        self.assertEqual(identity.find(given, "m:5050"), given)

    def test_a_missing_identity_says_how_to_get_one(self):
        self.environment(SKEP_CONFIG_DIR=str(self.folder))
        with self.assertRaisesRegex(skep.IdentityError, "skep token create"):
            identity.find(None, "m:5050")

    def test_a_key_in_the_second_version_of_pkcs8_is_taken(self):
        algorithm = b"\x30\x05\x06\x03\x2b\x65\x70"
        seed, public = bytes(range(32)), b"\xa1\x23\x03\x21\x00" + bytes(32)
        second = b"\x30\x53\x02\x01\x01" + algorithm + b"\x04\x22\x04\x20" + seed + public
        first = b"\x30\x2e\x02\x01\x00" + algorithm + b"\x04\x22\x04\x20" + seed

        def pem(der):
            body = base64.b64encode(der).decode()
            return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"

        self.assertEqual(identity._first_version(pem(second)), pem(first))
        self.assertIsNone(identity._first_version(pem(first)))
        self.assertIsNone(identity._first_version("no key"))

    def test_masters_are_read_as_people_write_them(self):
        read = client.addresses
        self.assertEqual(read("https://127.0.0.1:5050"), [("127.0.0.1", 5050)])
        self.assertEqual(read("m1, m2:7"), [("m1", 5050), ("m2", 7)])
        self.assertEqual(read(["https://[::1]:7/"]), [("::1", 7)])
        for wrong in ("", "http://m", "https://m/path", "m:port"):
            with self.assertRaises(skep.SkepError, msg=wrong):
                read(wrong)
