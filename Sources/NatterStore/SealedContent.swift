internal import NatterArchive
internal import NatterLog
internal import NatterModel

/// The facts about messages that stay in memory when the messages move to a log file.
struct SealedContent: Sendable {
    /// The highest time that the server itself assigned; nil if all messages were imported.
    private(set) var serverTime: Timestamp?
    /// How many texts each user has written, apart from imported ones and those sent by a program. The empty name has the
    /// number of messages that are no texts.
    private(set) var sent: [String: Int] = [:]
    /// The records that are about others. Their rows were written when they were posted, except for a rebuilt index.
    private(set) var relations: [Relation] = []

    init(serverTime: Timestamp? = nil, sent: [String: Int] = [:]) { (self.serverTime, self.sent) = (serverTime, sent) }

    init(_ records: Records) { add(records) }

    init(_ parts: [OpenBlock]) { for part in parts { add(part.records) } }

    mutating func add(_ other: SealedContent) {
        if let highest = other.serverTime { serverTime = max(serverTime ?? highest, highest) }
        for (sender, count) in other.sent { sent[sender, default: 0] += count }
        relations += other.relations
    }

    mutating func add(_ records: Records) {
        if let highest = records.highestServerTime { serverTime = max(serverTime ?? highest, highest) }
        for index in 0..<records.count {
            let uncounted = records.uncounted(at: index)
            if uncounted == .everyone { sent["", default: 0] += 1 }
            // A sender without a text is noted, too, so that a rebuild finds the account.
            guard !records.isImported(at: index), records.sender(at: index).first != ErasedAccount.mark else {
                continue
            }
            sent[String(decoding: records.sender(at: index), as: UTF8.self), default: 0] += uncounted == .sender ? 1 : 0
        }
        relations += Relation.all(of: records)
    }
}
