/// How long messages are kept: `90d` or `forever`.
public struct Retention: Sendable, Equatable, CustomStringConvertible {
    public static let forever = Retention(days: nil)
    private static let range = 1...36_500

    /// nil for ever.
    public let days: Int?

    /// - Parameter days: values that `init(_:)` does not accept mean the nearest one.
    public init(days: Int?) {
        self.days = days.map { min(max($0, Retention.range.lowerBound), Retention.range.upperBound) }
    }

    /// - Returns: nil unless the text is `1d` to `36500d`, or `forever`.
    public init?(_ text: String) {
        let text = text.asWord
        if text == "forever" {
            self = .forever
            return
        }
        guard text.utf8.last == UInt8(ascii: "d"), text.utf8.count <= 6,
            let days = Int(digits: text.dropLast()), Retention.range.contains(days)
        else { return nil }
        self.days = days
    }

    public var description: String { days.map { "\($0)d" } ?? "forever" }

    /// Messages up to this time are due; nil if none ever is.
    public func cutoff(at now: Timestamp) -> Timestamp? {
        days.map { now.advanced(milliseconds: -Int64($0) * 86_400_000) }
    }

    public static func shorter(_ one: Retention, _ other: Retention) -> Retention {
        guard let days = one.days, let otherDays = other.days else { return one.days == nil ? other : one }
        return days <= otherDays ? one : other
    }
}
