"""Puts rows into a store's database: the server would hash 100,000 passwords for them.

    fill.py STORE.DB ACCOUNTS TOKENS TEAMS CREWS    accounts, sessions of some, groups of alice's, groups of others
"""
import hashlib, os, sqlite3, sys
path, (accounts, tokens, teams, crews) = sys.argv[1], map(int, sys.argv[2:])
db = sqlite3.connect(path)
(alice,) = db.execute("SELECT number FROM account WHERE name='alice'").fetchone()
db.executemany("INSERT INTO account (number,name,name_key,password,created,last_seen) VALUES (?,?,?,'$none',1600000000000,1600000000000)",
    ((1000 + n, f"user{n:06}", f"user{n:06}") for n in range(accounts)))
db.executemany("INSERT INTO token (number,digest,account,scope,created,last_used) VALUES (?,?,?,'all',1700000000000,1790000000000)",
    ((1000 + n, os.urandom(32), 1000 + n) for n in range(tokens)))
def group(n, owner, name):
    id = hashlib.blake2b(b"%d" % n, digest_size=16).digest()
    db.execute("INSERT INTO conversation (number,id,kind,name,name_key,sealed_hash) VALUES (?,?,1,?,?,?)",
        (1000 + n, id, name, name, hashlib.blake2b(id, digest_size=32).digest()))
    for member in {owner, *range(1000, 1000 + min(accounts, 2))}:
        db.execute("INSERT OR IGNORE INTO membership (conversation,account,is_admin,since_commit) VALUES (?,?,1,1)", (1000 + n, member))
for n in range(teams): group(2 * n, alice, f"team{n:06}")
for n in range(crews): group(2 * n + 1, 1002, f"crew{n:06}")
db.commit()
db.close()
