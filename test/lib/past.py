#!/usr/bin/env python3
"""Writes a journal of a server whose users talked earlier: past.py <TALK >JOURNAL

A line of the talk is a JSON object: {"ago": MINUTES, "room", "name", "message"} or, for an event,
{"ago": MINUTES, "room", "event", "data"}; the room is the lobby if none is given. The earliest line
comes first. docs/journal.md describes the format.
"""
import json
import sys
import time
import zlib


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))


def record(fields, payload=''):
    rest = f' {compact(fields)}\n{payload}\n'
    return f':{zlib.crc32(rest.encode()):08x}{rest}'


def message(number, line, now):
    ms = now - int(line['ago'] * 60_000)
    name = f'{ms}-{number}'
    room = line.get('room', 'lobby')
    if 'event' in line:
        payload = f"id: {name}\nevent: {line['event']}\ndata: {compact(line['data'])}\n"
        return record({'n': number, 'room': room, 'kind': 'json'}, payload)
    clock = time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000)) + f'.{ms % 1000:03d}Z'
    chat = {'id': name, 'room': room, 'name': line['name'], 'message': line['message'], 'time': clock}
    return record({'n': number, 'room': room, 'kind': 'chat'}, f'id: {name}\ndata: {compact(chat)}\n')


now = int(time.time() * 1000)
sys.stdout.write(record({'ssechat': 'journal', 'version': 2}))
for number, line in enumerate(filter(str.strip, sys.stdin), 1):
    sys.stdout.write(message(number, json.loads(line), now))
