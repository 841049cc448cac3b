internal import NatterLog
internal import NatterModel

/// The facts about messages that stay in memory when the messages move to a log file.
struct SealedContent: Sendable {
    /// The highest time that the server itself assigned; nil if all messages were imported.
    private(set) var serverTime: Timestamp?
    /// How many messages each sender has sent. Imported messages do not count.
    private(set) var sent: [String: Int] = [:]

    init(serverTime: Timestamp? = nil, sent: [String: Int] = [:]) { (self.serverTime, self.sent) = (serverTime, sent) }

    init(_ records: Records) { add(records) }

    mutating func add(_ other: SealedContent) {
        if let highest = other.serverTime { serverTime = max(serverTime ?? highest, highest) }
        for (sender, count) in other.sent { sent[sender, default: 0] += count }
    }

    mutating func add(_ records: Records) {
        if let highest = records.highestServerTime { serverTime = max(serverTime ?? highest, highest) }
        for index in 0..<records.count where !records[index].isImported {
            sent[String(decoding: records.sender(at: index), as: UTF8.self), default: 0] += 1
        }
    }
}
