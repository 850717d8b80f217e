# SPDX-License-Identifier: MIT
"""Each context in which a secret stands: what goes, and what stays beside it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aodasync.privacy import contexts
from aodasync.privacy.redaction import redact_argv, redact_text

_REPORTED: Final = {
    '{"username":"u1","password":"S3cretX","uid":"0"}': (
        '{"username":"u1","password":"********","uid":"0"}'
    ),
    r"{\"username\":\"u1\",\"password\":\"S3cr\\\"etX\"}": (
        r"{\"username\":\"u1\",\"password\":\"********\"}"
    ),
    "map[password:S3cretX username:u1]": "map[password:******** username:u1]",
    "map[username:u1 password:Two WordsX]": "map[username:u1 password:********]",
    "&{User:u1 Password:S3cretX Domain:D}": "&{User:u1 Password:******** Domain:D}",
    '"azurestorageaccountkey":"S3cretX"': '"azurestorageaccountkey":"********"',
    "the accountKey: S3cretX": "the accountKey: ********",
    "COMMAND=/bin/mount -t cifs -o username=u1,password=pre,S3cretX,uid=0 //s/d /m": (
        "COMMAND=/bin/mount -t cifs -o username=u1,password=********,uid=0 //s/d /m"
    ),
    "kernel: cifs: Unknown parameter 'S3cretX'": "kernel: cifs: Unknown parameter '********'",
    "kernel: cifs: Unknown parameter 'it's X'": "kernel: cifs: Unknown parameter '********'",
    "kernel: cifs: Unknown parameter 'multichannel'": (
        "kernel: cifs: Unknown parameter 'multichannel'"
    ),
    'kernel: CIFS: Unknown mount option "S3cretX"': 'kernel: CIFS: Unknown mount option "********"',
    "az storage --account-key S3cretX --share-name s": (
        "az storage --account-key ******** --share-name s"
    ),
    "kubelet: tool --password S3cretX -v": "kubelet: tool --password ******** -v",
    "tool --password 'Two WordsX' -v": "tool --password '********' -v",
    'argc=4 a2="--password" a3="S3cretX" a4="-v"': 'argc=4 a2="--password" a3="********" a4="-v"',
    'argc=4 a2="--password" a3=533363726574582059': 'argc=4 a2="--password" a3=********',
    '"args":["--password","S3cretX","-v"]': '"args":["--password","********","-v"]',
    r"smbclient -U 'D\u1%Two WordsX' //s/d": r"smbclient -U 'D\u1%********' //s/d",
    r"wbinfo -a D\\u1%S3cretX": r"wbinfo -a D\\u1%********",
    "args:\n- --password\n- S3cretX\n- --x\n": "args:\n- --password\n- ********\n- --x\n",
    '[\n "--password",\n "S3cretX",\n "x"]\n': '[\n "--password",\n "********\n "x"]\n',
    "x --password \\\n  S3cretX\n  a b\n": "x --password ********\n  ********\n  a b\n",
    '{"SecretString": "S3cretX"}': '{"SecretString": "********"}',
    "PASSWORD+=S3cretX": "PASSWORD+=********",
    "password <- S3cretX": "password <- ********",
    "rootpw --plaintext S3cretX": "rootpw --plaintext ********",
    "[smb]\npassword =\n  S3cretX\nuser = u1\n": "[smb]\npassword =\n  ********\nuser = u1\n",
    "  password = <<EOT\nS3cretX\nX2\nEOT\n  user = 1\n": (
        "  password = ********\n********\n********\nEOT\n  user = 1\n"
    ),
    'password = """\nS3cretX\n"""\nuser = 1\n': 'password = ********\n********\n"""\nuser = 1\n',
    "stringData:\n  password: |-\n    S3cretX\n    X2\n  username: u1\n": (
        "stringData:\n  password: |-\n    ********\n    ********\n  username: u1\n"
    ),
    "h kubelet[7]:   password: >\nh sshd[9]: hello\nh kubelet[7]:     X\nh kubelet[7]: end": (
        "h kubelet[7]:   password: >\nh sshd[9]: hello\nh kubelet[7]:     ********\n"
        "h kubelet[7]: end"
    ),
    "- name: SMB_PASSWORD\n  value: S3cretX\n- name: A\n  value: b": (
        "- name: SMB_PASSWORD\n  value: ********\n- name: A\n  value: b"
    ),
    r"mount -o password=pre \S3cretX,uid=0": "mount -o password=********,uid=0",
    r"-fstype=cifs,password=S3cretX\,tailY,uid=0 ://s/d": (
        "-fstype=cifs,password=********,uid=0 ://s/d"
    ),
    "smb://u1:pre/S3cretX@s/d": "smb://u1:********@s/d",
    "smb://:S3cretX@s/d": "smb://:********@s/d",
    "open smb://u:Q7x@Q7y'Q7z@srv/share now": "open smb://u:********@srv/share now",
    "<password>S3cretX</password><user>u1</user>": "<password>********</password><user>u1</user>",
    "it said pass: S3cretX": "it said pass: ********",
    "machine s login u1 password S3cretX": "machine s login u1 password ********",
    "machine s\n  login u1\n  password S3cretX\n": "machine s\n  login u1\n  password ********\n",
    "curl -u u1:S3cretX https://h/p": "curl -u u1:******** https://h/p",
    "sshpass -p S3cretX ssh u1@h": "sshpass -p ******** ssh u1@h",
    r"net use Z: \\s\d S3cretX /user:u1": r"net use Z: \\s\d ******** /user:u1",
    "https://a/s?sv=2022&sig=S3cretX%3D&se=2024": "https://a/s?sv=2022&sig=********&se=2024",
    "AccountName=a;AccountKey=S3cretX==;EndpointSuffix=core": (
        "AccountName=a;AccountKey=********;EndpointSuffix=core"
    ),
    "curl -H 'Authorization: Bearer S3cretX' https://h": (
        "curl -H 'Authorization: Bearer ********' https://h"
    ),
    "CIFS: VFS: Signing Key   a1 b2 c3 d4 e5 f6 07 18": "CIFS: VFS: Signing Key   ********",
    "key: (aes256) 0xa1b2c3d4e5f60718a1b2c3d4": "key: ********",
    "1 host/h@R (aes256-cts)  (0xa1b2c3d4e5f60718a1b2c3d4e5f60718)": (
        "1 host/h@R (aes256-cts)  (0x********)"
    ),
    "u1:1000:AAD3B435B51404EEAAD3B435B51404EE:31D6CFE0D16AE931B73C59D7E0C089C0:[U ]:LCT-6:": (
        "u1:1000:********:[U ]:LCT-6:"
    ),
    '{"secret":{"value":"S3cretX"}}': '{"secret":{"value":"********"}}',
    '<add key="password" value="S3cretX"/>': '<add key="password" value="********"/>',
    "<name>smb.password</name><value>S3cretX</value>": (
        "<name>smb.password</name><value>********</value>"
    ),
    r'a0="net" a1="use" a2="Z:" a3="\\s\d" a4="S3cretX"': (
        r'a0="net" a1="use" a2="Z:" a3="\\s\d" a4=********'
    ),
    "%7B%22password%22%3A%22S3cretX%22%7D": "%7B%22password%22%3A%22********%22%7D",
    'fsconfig(3, FSCONFIG_SET_STRING, "password", "S3cretX", 0) = 0': (
        'fsconfig(3, FSCONFIG_SET_STRING, "password", "********", 0) = 0'
    ),
    r'smbclient "-UD\u1%Two WordsX" //s/d': r'smbclient "-UD\u1%********" //s/d',
    '{"password":[]uint8{0x53, 0x33}, "user":"u1"}': '{"password":********, "user":"u1"}',
    '"password": [\n  "S3cretX"\n],\n"user": "u1"': (
        '"password": ********\n  ********\n],\n"user": "u1"'
    ),
    '<param name="password">\nS3cretX\n</param>': ('<param name="password">\n********\n</param>'),
    "<password>\n  S3cretX\n</password>\n<user>u1": (
        "<password>\n  ********\n</password>\n<user>u1"
    ),
    "az login -u u1 -p S3cretX --tenant t": "az login -u u1 -p ******** --tenant t",
    'secrets:<key:"password" value:"S3cretX" > secrets:<key:"username" value:"u1" >': (
        'secrets:<key:"password" value:"********" > secrets:<key:"username" value:"u1" >'
    ),
    "PASSWD=S3cretX mount -t cifs //s/d /m": "PASSWD=******** mount -t cifs //s/d /m",
    "PASSWD='Two WordsX' mount.cifs //s/d /m": "PASSWD='********' mount.cifs //s/d /m",
    "PASSWD=Two WordsX": "PASSWD=********",
    "reg add K /v DefaultPassword /t REG_SZ /d S3cretX": (
        "reg add K /v DefaultPassword /t REG_SZ /d ********"
    ),
    "/user:u1 /password:S3cretX /domain:CORP": "/user:u1 /password:******** /domain:CORP",
    '[{"value":"S3cretX","key":"password"}]': '[{"value":"********","key":"password"}]',
    "cifs: Unsupported parameter 'S3cretX'": "cifs: Unsupported parameter '********'",
    "cifs: Invalid value 'S3cretX' for password": "cifs: Invalid value '********' for password",
    "CIFS: mount option S3cretX not recognized": "CIFS: mount option ******** not recognized",
    "curl -H 'x-api-key: S3cretX' -v": "curl -H 'x-api-key: ********' -v",
    "\x1b[36mpassword\x1b[0m=S3cretX uid=0": "\x1b[36mpassword\x1b[0m=******** uid=0",
    "a #033[36mpassword#033[0m: S3cretX": "a #033[36mpassword#033[0m: ********",
    '{"auth":"dTE6UzNjcmV0WA=="}': '{"auth":"********"}',
    "mount: /m: unknown filesystem option 'S3cretX'": (
        "mount: /m: unknown filesystem option '********'"
    ),
    "/etc/fstab: line 3: unknown option S3cretX": "/etc/fstab: line 3: unknown option ********",
    'password: "S3cretX\n  tailY"\nx: 1': "password: ********\n  ********\nx: 1",
    "- password: S3cretX\n    tailY\n  x: 1": "- password: ********\n    ********\n  x: 1",
    "password:\n- S3cretX\nx: 1": "password:\n- ********\nx: 1",
    "open smb://u1:pre S3cretX@s/d now": "open smb://u1:********@s/d now",
    "smb%3A%2F%2Fu1%3AS3cretX%40s%2Fd": "smb%3A%2F%2Fu1%3A********%40s%2Fd",
    "smb:\\/\\/u1:S3cretX@s\\/d": "smb:\\/\\/u1:********@s\\/d",
    "https://h/?access_token=S3cretX#frag": "https://h/?access_token=********#frag",
    "User ID=u1;Password=S3cretX;Initial Catalog=c": (
        "User ID=u1;Password=********;Initial Catalog=c"
    ),
    "NTLMv2 response: a1b2c3d4e5f60718a1b2c3d4e5f60718": "NTLMv2 response: ********",
    "u1:1:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:31D6CFE0D16AE931B73C59D7E0C089C0:[U]:": (
        "u1:1:********:[U]:"
    ),
    '"mountOptions":["vers=3.0","password=S3cretX","uid=0"]': (
        '"mountOptions":["vers=3.0","password=********","uid=0"]'
    ),
    "command ['mount', '-o', 'username=u1,password=pre,S3cretX', '//s/d', '/m'] failed": (
        "command ['mount', '-o', 'username=u1,password=********', '//s/d', '/m'] failed"
    ),
    r"mount -o 'user=u1,password=it'\''s, S3cretX' //s/d /m": (
        "mount -o 'user=u1,password=********' //s/d /m"
    ),
    "data: addr=10.1.2.3,username=u1,password=********,tailX: permission denied": (
        "data: addr=10.1.2.3,username=u1,password=********: permission denied"
    ),
    '"msg":"mount failed: password=S3cretX: Permission denied","n":1': (
        '"msg":"mount failed: password=********: Permission denied","n":1'
    ),
    'map[string][]byte{"password":[]byte("S3cretX"), "username":[]byte("u1")}': (
        'map[string][]byte{"password":[]byte("********"), "username":[]byte("u1")}'
    ),
    "smb://u1@corp.ex:S3cretX@s/d": "smb://u1@corp.ex:********@s/d",
    "automount[8]: >> Credential formatted incorrectly: S3cretX, tailX": (
        "automount[8]: >> Credential formatted incorrectly: ********"
    ),
    "nmcli con modify x wifi-sec.psk S3cretX ipv4.method auto": (
        "nmcli con modify x wifi-sec.psk ******** ipv4.method auto"
    ),
    "nmcli dev wifi connect net password hunterX ifname wlan0": (
        "nmcli dev wifi connect net password ******** ifname wlan0"
    ),
    "Config: added 'psk' value 'S3cretX'": "Config: added 'psk' value '********'",
    "mount -o username=u1,pasword=S3cretX,uid=0 //s/d /m": (
        "mount -o username=u1,pasword=********,uid=0 //s/d /m"
    ),
    "passowrd=S3cretX": "passowrd=********",
    "Passwort\xa0: S3cretX": "Passwort\xa0: ********",
    "\u5bc6\u7801\uff1aS3cretX": "\u5bc6\u7801\uff1a********",
    "\u041f\u0430\u0440\u043e\u043b\u044c: S3cretX": (
        "\u041f\u0430\u0440\u043e\u043b\u044c: ********"
    ),
    "has\u0142o=S3cretX": "has\u0142o=********",
    "motdepasse: S3cretX": "motdepasse: ********",
    "POST user=u1&passwd=S3cretX%20tailX&x=1": "POST user=u1&passwd=********&x=1",
    "Server=s;user=u1;password=S3cretX%tailX;x=1": "Server=s;user=u1;password=********;x=1",
    '{"name":"password","type":"string","value":"S3cretX"}': (
        '{"name":"password","type":"string","value":"********"}'
    ),
    '"client_secret":{"sensitive":true,"type":"string","value":"S3cretX"}': (
        '"client_secret":{"sensitive":true,"type":"string","value":"********"}'
    ),
    '{"ParameterKey":"DBPassword","ParameterValue":"S3cretX"}': (
        '{"ParameterKey":"DBPassword","ParameterValue":"********"}'
    ),
    '<entry key="db.password">S3cretX</entry>': '<entry key="db.password">********</entry>',
    "<key>password</key><string>S3cretX</string><key>u</key><string>u1</string>": (
        "<key>password</key><string>********</string><key>u</key><string>u1</string>"
    ),
    "secretsdump.py corp.ex/u1:pre@S3cretX@10.1.2.3 -just-dc": (
        "secretsdump.py corp.ex/u1:********@10.1.2.3 -just-dc"
    ),
    "remote: ghp_S3cretX7890123456789 refused": "remote: ghp_******** refused",
    "hvs.S3cretX7890123456789,xoxb-S3cretX7890123456789": "hvs.********,xoxb-********",
    "SG.S3cretX8901234567.S3cretX890123456789012345678901234": "SG.********",
    "az: Xyz8Q~S3cretX890123456789012345678901234": "az: ********",
    'variable "db_password" { default = "S3cretX" }': (
        'variable "db_password" { default = "********" }'
    ),
    'variable "db_password" {\n  type = string\n  default = "S3cretX"\n}\nx = 1': (
        'variable "db_password" {\n  type = string\n  default = ********\n}\nx = 1'
    ),
    "chpasswd:\n  list: |\n    root:S3cretX\n    u1:X: b\n  expire: False\nx:y": (
        "chpasswd:\n  list: |\n    root:********\n    u1:********\n  expire: False\nx:y"
    ),
    "<key>Password</key>\n<string>S3cretX</string>\n<string>u1</string>": (
        "<key>Password</key>\n<string>********\n<string>u1</string>"
    ),
    "<credential><user>u1</user><password>S3cretX</password></credential>": (
        "<credential><user>u1</user><password>********</password></credential>"
    ),
    '"client_secret": {\n  "type": "string",\n  "value": "S3cretX"\n},\n"value": "b"': (
        '"client_secret": {\n  "type": "string",\n  "value": ********\n},\n"value": "b"'
    ),
    '"smb_passwords": {\n  "u1": "S3cretX"\n},\n"user": "u1"': (
        '"smb_passwords": ********\n  ********\n},\n"user": "u1"'
    ),
    '"smb_passwords": [\n  "S3cretX"\n],\n"user": "u1"': (
        '"smb_passwords": ********\n  ********\n],\n"user": "u1"'
    ),
    '"name": "SMB_PASSWORD",\n"type": "x",\n"value": "S3cretX"\n}': (
        '"name": "SMB_PASSWORD",\n"type": "x",\n"value": ********\n}'
    ),
    "{u'password': u'S3cretX, tailX', u'username': u'u1'}": (
        "{u'password': u'********', u'username': u'u1'}"
    ),
    "{'password': b'S3cretX, tailX'}": "{'password': b'********'}",
    "mountOptions: [username=u1,password=S3cretX dir_mode=0777]": (
        "mountOptions: [username=u1,password=******** dir_mode=0777]"
    ),
    "ansible-mount: Invoked with opts=user=u1,password=a S3cretX state=mounted path=/m": (
        "ansible-mount: Invoked with opts=user=u1,password=******** state=mounted path=/m"
    ),
    'add_key("logon", "cifs:a:10.1.2.3", "u1:S3cretX", 10, KEY) = 1': (
        'add_key("logon", "cifs:a:10.1.2.3", "********", 10, KEY) = 1'
    ),
    "docker run -e SMB_PASSWORD=S3cretX -e A=b image": (
        "docker run -e SMB_PASSWORD=******** -e A=b image"
    ),
    """smbclient -U 'u1%it'"'"'S3cretX' //s/d""": "smbclient -U 'u1%********' //s/d",
    """tool --password 'it'"'"'S3cretX' -v""": "tool --password '********' -v",
    "tool --password 'it'\\''S3cretX' -v": "tool --password '********' -v",
    "ConvertTo-SecureString 'it''S3cretX' -Force": "ConvertTo-SecureString '********' -Force",
    'User ID=u1;Password="a""S3cretX";Encrypt=True': 'User ID=u1;Password="********";Encrypt=True',
    "GET /x?password=a%26S3cretX&y=1": "GET /x?password=********&y=1",
    "docker run -e 'SMB_PASSWORD=a; S3cretX /b' image": (
        "docker run -e 'SMB_PASSWORD=********' image"
    ),
    'Environment="SMB_PASSWORD=a /S3cretX" B=1': 'Environment="SMB_PASSWORD=********" B=1',
    "['mount', '-o', 'user=u1,password=a /S3cretX', '//s/d']": (
        "['mount', '-o', 'user=u1,password=********', '//s/d']"
    ),
    """mount -o 'user=u1,password=a\\'"'"' S3cretX' //s/d""": (
        "mount -o 'user=u1,password=********' //s/d"
    ),
    "ConvertTo-SecureString 'it'', S3cretX' -Force": "ConvertTo-SecureString '********' -Force",
    "curl -u u1:a%S3cretX https://h": "curl -u u1:******** https://h",
    'mount("//s/d", "/m", "cifs", 0, "user=u1,pass=a /S3cretX") = -1 EACCES': (
        'mount("//s/d", "/m", "cifs", 0, "user=u1,pass=********") = -1 EACCES'
    ),
    """{"MESSAGE": "mount -o 'user=u1,password=a'\\"'\\"' S3cretX' //s/d"}""": (
        """{"MESSAGE": "mount -o 'user=u1,password=********' //s/d"}"""
    ),
    "docker run -e 'SMB_PASSWORD=Two WordsX' image": "docker run -e 'SMB_PASSWORD=********' image",
    r"https://a/s?se=2024\u0026sig=S3cretX%3D\u0026sv=2022": (
        r"https://a/s?se=2024\u0026sig=********\u0026sv=2022"
    ),
    r'{"q":"user=u1\u0026password=S3cretX\u0026domain=D"}': (
        r'{"q":"user=u1\u0026password=********\u0026domain=D"}'
    ),
    "url=https%3A%2F%2Fa%2Fs%3Fsv%3D1%26sig%3DS3cretX%26se%3D2024": (
        "url=https%3A%2F%2Fa%2Fs%3Fsv%3D1%26sig%3D********%26se%3D2024"
    ),
    "mount.cifs //s/d /m -opassword=S3cretX tailY,username=u1": (
        "mount.cifs //s/d /m -opassword=********,username=u1"
    ),
    "Error: password=S3cretX,tailY: bad option": "Error: password=********",
    "env: [{SMB_USER u1 nil} {SMB_PASSWORD S3cretX nil}]": (
        "env: [{SMB_USER u1 nil} {SMB_PASSWORD ******** nil}]"
    ),
    '<setting name="Password" serializeAs="String"><value>S3cretX</value></setting>': (
        '<setting name="Password" serializeAs="String"><value>********</value></setting>'
    ),
    'tty pid=1 uid=0 comm="sudo" data=533363726574580A': (
        'tty pid=1 uid=0 comm="sudo" data=********'
    ),
    "Session Key: 00000000: a1 b2 c3 d4 e5 f6 07 18  29 3a": "Session Key: ********",
    "h winbindd[7]:  session key:\nh winbindd[7]:  [0000] A1 B2 C3 D4 E5 F6 07 18   29 3A": (
        "h winbindd[7]:  session key:\nh winbindd[7]:  ********"
    ),
    "password hash: a1b2c3d4e5f60718a1b2c3d4e5f60718a1b2c3d4": "password hash: ********",
    "nt_response : a1b2c3d4e5f60718a1b2c3d4e5f60718a1b2c3d4e5f60718": "nt_response : ********",
    "u1:aes256-cts-hmac-sha1-96:a1b2c3d4e5f60718a1b2c3d4e5f60718": (
        "u1:aes256-cts-hmac-sha1-96:********"
    ),
    "0 2048 crypt aes-xts-plain64 a1b2c3d4e5f60718a1b2c3d4e5f60718 0 8:1": (
        "0 2048 crypt aes-xts-plain64 ******** 0 8:1"
    ),
    '{"mount_flags": ["vers=3.0", "password=a /S3cretX"]}': (
        '{"mount_flags": ["vers=3.0", "password=********"]}'
    ),
    r'{"log":"{\"mount_flags\":[\"password=a; S3cretX\"]}"}': (
        r'{"log":"{\"mount_flags\":[\"password=********\"]}"}'
    ),
    "CIFS: parsing cifs mount option 'S3cretX'": "CIFS: parsing cifs mount option '********'",
    r"user = CORP\u1%S3cretX tailX": r"user = CORP\u1%********",
    "pass-phrase=S3cretX": "pass-phrase=********",
    "Enter PEM pass phrase: S3cretX": "Enter PEM pass phrase: ********",
    "bindpw=S3cretX": "bindpw=********",
    """os.environ["SMB_PASSWORD"] = "S3cretX"; a = 1""": (
        """os.environ["SMB_PASSWORD"] = "********"; a = 1"""
    ),
    "$cfg['smb']['password']='S3cretX';": "$cfg['smb']['password']='********';",
    "declare -A c=([password]=S3cretX [user]=u1)": "declare -A c=([password]=********)",
    "password[0]: S3cretX": "password[0]: ********",
    """set "password" "S3cretX" in 'x'""": """set "password" "********" in 'x'""",
    "'smb_token' 'S3cretX'": "'smb_token' '********'",
    "loaded Password(value='S3cretX') of u1": "loaded Password(value='********') of u1",
    'conn.set_password("S3cretX")': 'conn.set_password("********")',
    "http --auth u1:S3cretX https://nas/api": "http --auth u1:******** https://nas/api",
    "- key: password\n  value: S3cretX\n- value: u1": (
        "- key: password\n  value: ********\n- value: u1"
    ),
    '"Key": "SMB_PASSWORD",\n"Value": "S3cretX"\n}': (
        '"Key": "SMB_PASSWORD",\n"Value": ********\n}'
    ),
    '{"secrets":[{"name":"a"},{"password":"S3cretX"}]}': (
        '{"secrets":[{"name":"a"},{"password":"********"}]}'
    ),
}


@pytest.mark.parametrize("text", _REPORTED)
def test_the_value_goes_and_what_is_beside_it_stays(text: str) -> None:
    """What people's logs hold: the secret is masked, and it alone."""
    assert redact_text(text) == _REPORTED[text]


@pytest.mark.parametrize(
    "line",
    [
        "winbindd: logon failed for user u1: NT_STATUS_LOGON_FAILURE",
        "session setup pass=2 fail=7 rc=-13",
        "total=9,pass=2,fail=7 token=17 key=0x1f",
        "NT_STATUS_WRONG_PASSWORD: logon of u1",
        "openssl s_client -connect h:443 -cert c.pem -key client-key.pem",
        "smb3_lease_done: lease_key=0x1122334455667788aabbccddeeff0011 lease_state=0x7",
        "sshd[1]: Failed password for jdoe from 10.1.2.3 port 22 ssh2",
        "type=SYSCALL msg=audit(1.2:3): a0=ffffff9c a1=55d0c2a5e2b0 exit=-13 key=(null)",
        'type=SYSCALL msg=audit(1.2:3): comm="mount.cifs" key="mounts"',
        'wanted("user", ["password", "domain"])',
        "def password(self, user='u1'): pass('it works') or getpass('Type it again')",
        "rclone --auth-no-open-browser; x --auth https://login.example.com",
        "3 of 5 tests: pass: 3/5",
        "0 logon     cifs:a:10.9.9.1: 20",
        "CIFS: VFS: Session Id   a1 b2 c3 d4 e5 f6 07 18",
        "https://host:8080/path?mail=a@b date -u +%Y-%m-%d",
        "mkdir -p /var/lib/x; ssh -p 22 h; login -p 22",
        "pid 7 (ptr (0xffff888012345678) bypass=yes compass: north",
        '{"secretKeyRef":{"name":"smbcreds","key":"password"}}',
        "invalid value 5; CIFS: invalid value 5, mount option noperm is unknown",
        '{"password":null,"token":17,"secretName":"smbcreds"}',
        "kernel: CIFS: VFS: generate_smb3signingkey: dumping generated AES session keys",
        "CIFS: VFS: cifs_set_cifscreds: Couldn't get valid credentials for uid 1000",
        "CIFS: fs/smb/client/connect.c: cifs_set_cifscreds: desc=cifs:a:10.1.2.3",
        "CIFS: VFS: \\\\nas smb2_get_enc_key: no session found",
        "Credential formatted incorrectly: (null)",
        "Config: added 'psk' value '<hidden>', added 'key_mgmt' value 'WPA-PSK SAE'",
        "CIFS: parsing cifs mount option 'domainauto'",
        "user = %U, user = 50% of it, getpw: 3 entries, Enter PEM pass phrase:",
        "error:0B080074:x509 certificate routines:X509_check_private_key:key values mismatch",
    ],
)
def test_evidence_that_looks_like_a_secret_stays(line: str) -> None:
    """Counters, statuses, prose, pointers, references."""
    assert redact_text(line) == line


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize(
    "plain",
    [
        "\nusername=u1\npassword=S3cretX\n",
        "\nPASSWD=S3cretX",
        "AccountName=a;AccountKey=S3cretX==",
        ' {"auths":{"r":{"auth":"dTE6UzNjcmV0WA=="}}}',
    ],
)
def test_a_file_in_base64_is_looked_into(plain: str, before: str) -> None:
    """Secrets of Kubernetes hold whole files of credentials; what holds no secret stays."""
    encoded = b64encode(f"{before}{plain}".encode()).decode()
    assert redact_text(f"  smb.conf: {encoded}\n") == "  smb.conf: ********\n"
    harmless = b64encode(f"{before} the password has expired".encode()).decode()
    assert redact_text(f'"text":"{harmless}"') == f'"text":"{harmless}"'


def _hex(secret: str) -> str:
    return secret.encode().hex()


def _escaped(secret: str) -> str:
    return json.dumps(json.dumps(secret)[1:-1])[1:-1]


_ANY = st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"], blacklist_characters="\x85")
_WORD = st.characters(
    blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], blacklist_characters="\x85\"'\\"
)
_PATH = st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp", "Zs"])
_BASE64 = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_Plant = Callable[[str], str]

_CONTEXTS: Final[dict[str, tuple[_Plant, st.SearchStrategy[str]]]] = {
    "JSON": (lambda s: f'{{"user":"u","password":{json.dumps(s)},"uid":0}} end', _ANY),
    "JSON, spaced": (lambda s: f'{{"x" : 1, "accountKey" : {json.dumps(s)} }}', _ANY),
    "JSON in JSON": (lambda s: rf'{{"log":"{{\"passwd\":\"{_escaped(s)}\"}}"}}', _ANY),
    "mount options": (lambda s: f"mount -o username=u,password={s},uid=0 //s/d /m", _ANY),
    "first option": (lambda s: f"mount -o password={s},vers=3.0 //s/d /m", _ANY),
    "fstab": (lambda s: f"//s/d /m cifs user=u,pass={s},uid=0 0 0", _ANY),
    "credentials file": (lambda s: f"username=u\npassword={s}\ndomain=d", _ANY),
    "INI": (lambda s: f"[s]\n  Password2 = {s}\n", _ANY),
    "YAML": (lambda s: f"a: 1\npassword: {json.dumps(s)}\nb: 2\n", _ANY),
    "YAML block": (lambda s: f"data:\n  secret: |-\n    {s}\n    {s}\n  u: 1\n", _ANY),
    "XML": (lambda s: f"<a><Password>{s.replace('<', '&lt;')}</Password></a>", _ANY),
    "attribute": (lambda s: f'<user name="u" password={json.dumps(s)}/>', _ANY),
    "Go": (lambda s: f"map[password:{s} username:u1]", _WORD),
    "flag": (lambda s: f"tool --password {s} -v", _WORD),
    "flag=": (lambda s: f"tool --db-password={s} -v", _WORD),
    "sshpass": (lambda s: f"sshpass -p {s} ssh h", _WORD),
    "URL": (lambda s: f"open smb://u:{s}@srv/share now", _PATH),
    "user%": (lambda s: f"smbclient -U D\\u%{s} //s/d", _WORD),
    "user%, quoted": (lambda s: f"smbclient -U 'D\\u%{s}' //s/d", _WORD),
    "audit": (lambda s: f'type=EXECVE argc=3 a0="x" a1="--password" a2={_hex(s)}', _ANY),
    "proctitle": (lambda s: "proctitle=" + _hex(f"mount\0-o\0username=u,password={s}"), _ANY),
    "netrc": (lambda s: f"machine s login u password {s}", _WORD),
    "kernel": (lambda s: f"kernel: cifs: Unknown parameter '{s}'", _ANY),
    "header": (lambda s: f"> Authorization: Basic {s}", _BASE64),
    "bearer": (lambda s: f"token was Bearer {s}", _BASE64),
    "SAS": (lambda s: f"https://a/s?sv=1&sig={s}&se=2", _BASE64),
    "connection string": (lambda s: f"AccountName=a;AccountKey={s}==;EndpointSuffix=c", _BASE64),
    "PEM": (
        lambda s: f"-----BEGIN PRIVATE KEY-----\n{s}\n{s}\n-----END PRIVATE KEY-----\nafter",
        _BASE64,
    ),
}


@pytest.mark.parametrize("context", _CONTEXTS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_part_of_any_secret_is_kept(context: str, data: st.DataObject) -> None:
    """Whatever the secret is made of; and to redact twice changes nothing."""
    plant, characters = _CONTEXTS[context]
    part = st.text(characters, max_size=8)
    secret = "Q7x" + data.draw(part) + "Q7y" + data.draw(part) + "Q7z"
    if "mount" in context or context in ("first option", "fstab"):
        assume(not re.search(r",uid\W| +(//|\\\\)[^/\\, ]+[/\\]", secret))
    text = plant(secret)
    kept = redact_text(text)
    assert "********" in kept
    assert not re.search("Q7[xyz]|" + "|".join(_hex(f"Q7{c}") for c in "xyz"), kept), kept
    assert redact_text(kept) == kept


_HARMLESS = st.text(st.sampled_from("abde ,;.:=/\\[]{}()'\"0123456789\n\t"), max_size=200)


@given(text=_HARMLESS)
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    """Punctuation alone makes nothing a secret."""
    assume("//" not in text)
    assert redact_text(text) == text


def test_the_words_of_a_command_are_redacted_together() -> None:
    """A flag and its value are two words; a value goes no further than its word."""
    argv = ["tool", "--password", "Two WordsX", "-o", "user=u,password=a b,uid=0", "//s/d"]
    expected = ["tool", "--password", "********", "-o", "user=u,password=********,uid=0", "//s/d"]
    assert redact_argv(argv) == expected


@given(st.lists(st.sampled_from([*contexts._NEEDLES, b"a", b"=", b"ss", b"\n"]), max_size=8))
def test_words_that_overlap_are_all_seen(parts: list[bytes]) -> None:
    """A line is searched for each context of which it has a word, within another or not."""
    text = b"".join(parts)
    wanted = [row for row in contexts.CONTEXTS if any(needle in text for needle in row.needles)]
    assert [*contexts._rows_of(frozenset(contexts._LONGEST_AT.findall(text)))] == wanted
