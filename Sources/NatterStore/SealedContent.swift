internal import NatterLog
internal import NatterModel

/// What has to be remembered of messages when they leave memory for a log file.
struct SealedContent: Sendable {
    /// The highest time that the server itself gave; nil if all were imported.
    private(set) var serverTime: Timestamp?
    /// How many are whose.
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
