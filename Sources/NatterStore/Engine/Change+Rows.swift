internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterLog
internal import NatterModel

extension LogEntry {
    /// Writes the rows of all changes, and forgets what the ids of erased messages stood for. Call inside a transaction.
    func writeChanges(to connection: Connection, _ keys: inout KeyTables) throws {
        for change in changes {
            try change.write(to: connection, at: commit)
            if case .erased(_, let number) = change { try keys.forgetContent(of: number, erasedAt: commit) }
        }
    }
}

extension Change {
    /// Writes the rows of this change. Rows of blocks are written by the engine, because each engine keeps blocks in
    /// its own way.
    func write(to rows: any RowWriter, at commit: Commit) throws {
        switch self {
        case .accountAdded(let new):
            try rows.run(
                """
                INSERT INTO account (number,name,name_key,password,admin,created,last_seen)
                VALUES ($1,$2,$3,$4,$5,$6,$7)
                """, new.id.rawValue, new.name.text, new.name.caseKey, new.password, new.isAdmin,
                new.created.milliseconds, new.lastSeen?.milliseconds)
            try keep(.highestAccount, new.id.rawValue, rows)
        case .accountChanged(let account, let isDisabled, let isAdmin, let password):
            try rows.run(
                """
                UPDATE account SET disabled=coalesce($1,disabled), admin=coalesce($2,admin),
                password=coalesce($3,password) WHERE number=$4
                """, isDisabled, isAdmin, password, account.rawValue)
            // Here, too, an erased account is one that is disabled and has no password.
            if isDisabled == true, password?.isEmpty == true {
                try rows.run("UPDATE account SET last_address=NULL WHERE number=$1", account.rawValue)
            }
        case .displaySet(let account, let display):
            try rows.run("UPDATE account SET display=$1 WHERE number=$2", display, account.rawValue)
        case .visitsNoted(let accounts, let tokens):
            for visit in accounts {
                try rows.run(
                    """
                    UPDATE account SET last_seen=$1, last_address=$2
                    WHERE number=$3 AND (disabled=0 OR password<>'') AND (last_seen IS NULL OR last_seen<=$1)
                    """, visit.time.milliseconds, visit.address, visit.number)
            }
            for visit in tokens {
                try rows.run(
                    "UPDATE token SET last_used=$1, last_address=$2 WHERE number=$3", visit.time.milliseconds,
                    visit.address, visit.number)
            }
        case .contactSet(let account, let peer, true):
            try rows.run(
                "INSERT INTO contact (account,peer) VALUES ($1,$2) ON CONFLICT DO NOTHING", account.rawValue,
                peer.rawValue)
        case .contactSet(let account, let peer, false):
            try rows.run("DELETE FROM contact WHERE account=$1 AND peer=$2", account.rawValue, peer.rawValue)
        case .blockSet(let account, let peer, true):
            try rows.run(
                "INSERT INTO block_list (account,peer) VALUES ($1,$2) ON CONFLICT DO NOTHING", account.rawValue,
                peer.rawValue)
        case .blockSet(let account, let peer, false):
            try rows.run("DELETE FROM block_list WHERE account=$1 AND peer=$2", account.rawValue, peer.rawValue)
        case .audited(let number, let entry):
            try rows.run(
                "INSERT INTO audit (number,time,actor,action,subject) VALUES ($1,$2,$3,$4,$5)", number,
                entry.time.milliseconds, entry.actor, entry.action, entry.subject)
        case .inviteAdded(let digest, let invite):
            try rows.run(
                "INSERT INTO invite (digest,maker,created,expires) VALUES ($1,$2,$3,$4)", digest.bytes, invite.maker,
                invite.created.milliseconds, invite.expires.milliseconds)
        case .inviteRemoved(let digest): try rows.run("DELETE FROM invite WHERE digest=$1", digest.bytes)
        case .tokenAdded(let digest, let token):
            try rows.run(
                """
                INSERT INTO token (number,digest,account,label,scope,scope_id,created,expires,host,program)
                VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)
                """, token.number, digest.bytes, token.account.rawValue, token.label, token.scope.description,
                token.scope.ids, token.created.milliseconds, token.expires?.milliseconds, token.origin.host,
                token.origin.program)
            try keep(.highestToken, token.number, rows)
        case .tokensRemoved(let digests):
            for digest in digests { try rows.run("DELETE FROM token WHERE digest=$1", digest.bytes) }
        case .sessionsEnded(let account, let kept, let robots):
            try rows.run(
                """
                DELETE FROM token WHERE account=$1 AND digest IS DISTINCT FROM $2 AND (label IS NULL OR $3 = 1)
                """, account.rawValue, kept?.bytes, robots)
        case .readMarked(let account, let conversation, let mark):
            try rows.run(
                """
                INSERT INTO read_mark (account,conversation,seq,own_before,is_start) VALUES ($1,$2,$3,$4,$5)
                ON CONFLICT (account,conversation)
                DO UPDATE SET seq=excluded.seq, own_before=excluded.own_before, is_start=excluded.is_start
                WHERE excluded.seq > read_mark.seq
                """, account.rawValue, conversation, mark.seq.rawValue, mark.ownBefore, Int64(mark.isStart ? 1 : 0))
        case .noted(let account, let conversation, let kind, let data):
            // Replaces an older row of the same kind.
            try rows.run(
                """
                INSERT INTO change (account,conversation,kind,commit_number,data) VALUES ($1,$2,$3,$4,$5)
                ON CONFLICT (account,conversation,kind)
                DO UPDATE SET commit_number=excluded.commit_number, data=excluded.data
                """, account.rawValue, conversation, kind.rawValue, commit.rawValue, data)
        case .epochBegun(let epoch, let first):
            try rows.run("DELETE FROM epoch WHERE first_commit>=$1", first.rawValue)
            try rows.run(
                "INSERT INTO epoch (run,value,first_commit) VALUES ($1,$2,$3)", Int64(epoch.run), epoch.rawValue,
                first.rawValue)
        case .tailsMoved:
            // The row of the moved tails is deleted when they are sealed.
            try keep(commit, rows)
        case .related(let relation, let conversation, let author):
            try rows.run(
                """
                INSERT INTO relation (conversation,about,kind,seq,time,author) VALUES ($1,$2,$3,$4,$5,$6)
                ON CONFLICT (conversation,about,kind,seq) DO NOTHING
                """, conversation, relation.about.rawValue, Int(relation.kind.rawValue), relation.seq.rawValue,
                relation.time.milliseconds, author)
        case .importRemembered(let remembered):
            if let file = remembered.file {
                try rows.run(
                    """
                    INSERT INTO import_file (conversation,digest,time) VALUES ($1,$2,$3)
                    ON CONFLICT (conversation,digest) DO UPDATE SET time=excluded.time
                    """, remembered.conversation, file.bytes, remembered.time.milliseconds)
            }
            for key in remembered.keys {
                try rows.run(
                    """
                    INSERT INTO import_key (conversation,hash,seq,content) VALUES ($1,$2,$3,$4) ON CONFLICT DO NOTHING
                    """, remembered.conversation, key.hash, key.seq.rawValue, key.content)
            }
        case .erased(let messages, let conversation):
            for message in messages {
                try rows.run(
                    """
                    INSERT INTO erasure (conversation,seq,hash,commit_number,author) VALUES ($1,$2,$3,$4,$5)
                    ON CONFLICT (conversation,seq) DO UPDATE SET commit_number=excluded.commit_number
                    """, conversation, message.seq.rawValue, message.digest.bytes, commit.rawValue, message.author)
            }
            // A deletion names the author of the message. The account's number stays, because the deleted text never
            // counted as unread for its author.
            try rows.run(
                """
                UPDATE relation SET author=coalesce('#'||(SELECT erasure.author FROM erasure
                WHERE erasure.conversation=relation.conversation AND erasure.seq=relation.about),$1)
                WHERE conversation=$2 AND kind=3 AND author<>$3 AND substr(author,1,1)<>'#' AND about IN
                (SELECT seq FROM erasure WHERE conversation=$2 AND commit_number=$4)
                """, RelationRows.nobody, conversation, RelationRows.everyone, commit.rawValue)
            try rows.run(
                """
                UPDATE import_key SET content=$1 WHERE conversation=$2 AND seq IN
                (SELECT seq FROM erasure WHERE conversation=$2 AND commit_number=$3)
                """, FoundKey.erasedContent, conversation, commit.rawValue)
            // With the hash, anyone who knows the rest of an imported file could test a guess of an erased text.
            try rows.run("DELETE FROM import_file WHERE conversation=$1", conversation)
        case .runEnded: break
        case .fileSet(let row):
            try FileRows.put(row, on: rows)
            // A table of this server's database alone, as are the files.
            if row.state == .gone {
                try rows.run(
                    "INSERT INTO retired (path) VALUES ($1) ON CONFLICT DO NOTHING", BlobPath.of(row.id))
            }
        case .conversationAdded(let new):
            try rows.run(
                """
                INSERT INTO conversation (number,id,kind,name,name_key,is_open,user_a,user_b,sealed_hash,maker)
                VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)
                """, new.number, new.id.bytes, Int(new.kind.rawValue), new.name, NameRule.caseKey(new.name), new.isOpen,
                new.accounts?.first.rawValue, new.accounts?.second.rawValue, HashChain.start(of: new.id).bytes,
                new.maker?.rawValue)
            try keep(.highestConversation, new.number, rows)
        case .groupChanged(let number, let name, let isOpen):
            try rows.run(
                "UPDATE conversation SET name=$1, name_key=$2, is_open=$3 WHERE number=$4", name,
                NameRule.caseKey(name), isOpen, number)
        case .topicSet(let number, let topic):
            try rows.run("UPDATE conversation SET topic=$1 WHERE number=$2", topic, number)
        case .groupDeleted(let number):
            try rows.run("UPDATE conversation SET is_deleted=1 WHERE number=$1", number)
            try rows.run("DELETE FROM membership WHERE conversation=$1", number)
            try rows.run("DELETE FROM import_key WHERE conversation=$1", number)
            try rows.run("DELETE FROM import_file WHERE conversation=$1", number)
        case .memberPut(let account, let number, let membership):
            try rows.run(
                """
                INSERT INTO membership (conversation,account,is_admin,since_commit,adder) VALUES ($1,$2,$3,$4,$5)
                ON CONFLICT (conversation,account)
                DO UPDATE SET is_admin=excluded.is_admin, since_commit=excluded.since_commit, adder=excluded.adder
                """, number, account.rawValue, membership.isAdmin, membership.since.rawValue,
                membership.adder?.rawValue)
        case .memberRemoved(let account, let number):
            try rows.run(
                "DELETE FROM membership WHERE conversation=$1 AND account=$2", number, account.rawValue)
        case .tailSealed(let sealed):
            try rows.run(
                """
                UPDATE conversation SET sealed_seq=$1, sealed_hash=$2, sealed_commit=$3,
                sealed_time=CASE WHEN sealed_time>$4 THEN sealed_time ELSE $4 END WHERE number=$5
                """, sealed.lastSeq.rawValue, sealed.hashAfter.bytes, sealed.lastCommit.rawValue,
                (sealed.content.serverTime ?? .zero).milliseconds, sealed.conversation)
            for (sender, added) in sealed.content.sent { try addSent(sender, added, sealed.conversation, rows) }
        case .importSettled(let settled):
            // `sealed_time` stays, because imported times must not advance the server's clock.
            try rows.run(
                "UPDATE conversation SET sealed_seq=$1, sealed_hash=$2, sealed_commit=$3 WHERE number=$4",
                settled.lastSeq.rawValue, settled.hashAfter.bytes, commit.rawValue, settled.conversation)
            if settled.uncounted > 0 { try addSent("", settled.uncounted, settled.conversation, rows) }
        case .retentionSet(let number, let retention):
            try rows.run("UPDATE conversation SET retain_days=$1 WHERE number=$2", retention.days, number)
        case .messagesDropped(let dropped):
            try keep(commit, rows)
            try rows.run(
                "UPDATE conversation SET first_seq=$1, first_commit=$2 WHERE number=$3", dropped.first.rawValue,
                commit.rawValue, dropped.conversation)
            for (sender, count) in dropped.sent {
                try rows.run(
                    "UPDATE sent SET dropped=dropped+$1 WHERE conversation=$2 AND sender=$3", count,
                    dropped.conversation, sender)
            }
            // An edit that is kept still needs the deletion of its original.
            try rows.run(
                "DELETE FROM relation WHERE conversation=$1 AND about<$2 AND seq<$3", dropped.conversation,
                dropped.first.rawValue, dropped.first.rawValue)
        }
    }

    /// Keeps the number of a commit that leaves no other row from being assigned again.
    private func keep(_ commit: Commit, _ rows: any RowWriter) throws {
        try keep(.commit, commit.rawValue, rows)
    }

    private func keep(_ key: MetaKey, _ value: any SQLValue, _ rows: any RowWriter) throws {
        try rows.run(
            "INSERT INTO meta (key,value) VALUES ($1,$2) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
            key.rawValue, value)
    }

    private func addSent(_ sender: String, _ added: Int, _ conversation: Int64, _ rows: any RowWriter) throws {
        try rows.run(
            """
            INSERT INTO sent (conversation,sender,count) VALUES ($1,$2,$3)
            ON CONFLICT (conversation,sender) DO UPDATE SET count=sent.count+excluded.count
            """, conversation, sender, added)
    }
}
