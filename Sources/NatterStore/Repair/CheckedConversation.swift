internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterSQLite

/// A conversation as its row describes it, for `StoreCheck`.
struct CheckedConversation {
    let identity: ConversationIdentity
    /// The lowest seq that is kept.
    let first: Seq
    let sealedSeq: Seq
    let sealedHash: Digest
    let sealedCommit: Commit

    /// The name in reports about damage.
    var label: String { CheckedConversation.label(of: identity) }

    static func label(of identity: ConversationIdentity) -> String {
        switch identity.kind {
        case .general, .group: identity.name
        case .personal where identity.users.count == 2: "@\(identity.users[0]),@\(identity.users[1])"
        case .personal: identity.id.description
        }
    }

    static func all(on connection: Connection) throws -> [CheckedConversation] {
        var names: [Int64: String] = [:]
        let accounts = try connection.statement("SELECT number,name FROM account")
        while try accounts.step() { names[accounts.int64(0)] = accounts.text(1) }

        var found: [CheckedConversation] = []
        // A database of an earlier version keeps everything.
        let first = try Schema.version(of: connection) >= StoreSchema.firstSeqStep ? "first_seq" : "1"
        let rows = try connection.statement(
            "SELECT number,id,kind,name,user_a,user_b,sealed_seq,sealed_hash,sealed_commit,\(first) FROM conversation")
        while try rows.step() {
            guard let id = ConversationID(bytes: rows.blob(1)), let hash = Digest(bytes: rows.blob(7)),
                let kind = ConversationKind(rawValue: UInt8(truncatingIfNeeded: rows.int64(2)))
            else {
                throw SQLiteError(
                    reason: .corrupt, message: "the row of conversation \(rows.int64(0)) is malformed",
                    path: connection.path)
            }
            let users =
                kind == .personal
                ? [rows.int64(4), rows.int64(5)].compactMap { names[$0] }
                    .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } : []
            found.append(
                CheckedConversation(
                    identity: ConversationIdentity(
                        number: try rows.ordinal(0), id: id, kind: kind, name: rows.text(3), users: users),
                    first: Seq(UInt64(try rows.ordinal(9))), sealedSeq: Seq(UInt64(try rows.ordinal(6))),
                    sealedHash: hash, sealedCommit: Commit(UInt64(try rows.ordinal(8)))))
        }
        return found
    }
}

/// The table of lost messages. With it, a check can tell a loss that a repair has reported from a new one.
enum LossRows {
    /// By conversation, in the order of their seqs.
    static func all(on connection: Connection) throws(SQLiteError) -> [Int64: [ClosedRange<Seq>]] {
        guard try Schema.version(of: connection) >= StoreSchema.lossStep else { return [:] }
        var found: [Int64: [ClosedRange<Seq>]] = [:]
        let rows = try connection.statement(
            "SELECT conversation,first_seq,last_seq FROM loss WHERE first_seq<=last_seq ORDER BY conversation,first_seq"
        )
        while try rows.step() {
            found[rows.int64(0), default: []].append(Seq(rows.uint64(1))...Seq(rows.uint64(2)))
        }
        return found
    }

    /// Replaces everything recorded for a conversation. Call inside a transaction.
    static func replace(
        _ losses: [ClosedRange<Seq>], of conversation: Int64, at time: Timestamp, on connection: Connection
    ) throws(SQLiteError) {
        try connection.run("DELETE FROM loss WHERE conversation=?", conversation)
        let insert = try connection.statement("INSERT INTO loss VALUES (?,?,?,?)")
        for loss in losses {
            try insert.run(conversation, loss.lowerBound.rawValue, loss.upperBound.rawValue, time.milliseconds)
        }
    }

    /// Whether the whole range is recorded as lost.
    static func covers(_ losses: [ClosedRange<Seq>], _ range: ClosedRange<Seq>) -> Bool {
        var next = range.lowerBound
        for loss in losses where loss.contains(next) {
            if loss.upperBound >= range.upperBound { return true }
            next = loss.upperBound.next
        }
        return false
    }
}
