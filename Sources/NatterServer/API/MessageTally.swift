/// Which messages a request has brought or taken, for the log: conversations and numbers, nothing of what they say.
struct MessageTally {
    /// More would make a line that nobody reads.
    private static let limit = 20

    private var ranges: [(conversation: String, first: UInt64, last: UInt64)] = []
    private var others = 0

    var isEmpty: Bool { ranges.isEmpty }

    mutating func add(_ conversation: String, _ first: UInt64, _ last: UInt64) {
        if let latest = ranges.last, latest.conversation == conversation, first == latest.last &+ 1 {
            ranges[ranges.count - 1].last = last
        } else if ranges.count < MessageTally.limit {
            ranges.append((conversation, first, last))
        } else {
            others += 1
        }
    }

    /// `general/5,@bob/1-20`: a name has neither slash nor comma. What is beyond the limit is counted: `+3`.
    var text: String {
        let parts = ranges.map { range in
            range.first == range.last
                ? "\(range.conversation)/\(range.first)" : "\(range.conversation)/\(range.first)-\(range.last)"
        }
        return (others > 0 ? parts + ["+\(others)"] : parts).joined(separator: ",")
    }
}
