/// The messages that a request stored or sent, for the log. It contains conversations and numbers, never texts.
struct MessageTally {
    /// The maximum number of ranges in the log line. More would make the line unreadable.
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

    /// The form is `general/5,@bob/1-20`, because names contain neither slash nor comma. Ranges above the limit are
    /// only counted, as `+3`.
    var text: String {
        let parts = ranges.map { range in
            range.first == range.last
                ? "\(range.conversation)/\(range.first)" : "\(range.conversation)/\(range.first)-\(range.last)"
        }
        return (others > 0 ? parts + ["+\(others)"] : parts).joined(separator: ",")
    }
}
