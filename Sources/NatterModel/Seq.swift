/// A message's number in its conversation: 1, 2, 3 … without gaps. 0 means "before the first message".
public struct Seq: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Before the first message.
    public static let zero = Seq(0)

    /// The next number. It saturates, so that a number from outside cannot make it overflow.
    public var next: Seq { advanced(by: 1) }

    /// The number before this one. Zero stays zero.
    public var previous: Seq { Seq(rawValue == 0 ? 0 : rawValue - 1) }

    public func advanced(by count: Int) -> Seq {
        let (sum, overflow) = rawValue.addingReportingOverflow(UInt64(max(0, count)))
        return Seq(overflow ? .max : sum)
    }

    /// How many numbers are after `other`, up to and including this one. The result is 0 if there are none, and at most
    /// `Int.max`.
    public func distance(after other: Seq) -> Int {
        rawValue > other.rawValue ? Int(clamping: rawValue - other.rawValue) : 0
    }

    public static func < (left: Seq, right: Seq) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
}

/// The store-wide number of a durable batch. Every batch takes the next number, whichever conversations it changes.
public struct Commit: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static let zero = Commit(0)
    public var next: Commit { Commit(rawValue &+ 1) }

    public static func < (left: Commit, right: Commit) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
}

/// One run of a store. The upper 32 bits count the runs, the lower 32 are random.
///
/// A new epoch begins each time a server opens the store. Acknowledged history can only go missing between two runs,
/// when the store is restored from a backup. The store records the epoch of each commit. If a cursor names another
/// epoch for its commit, it comes from a history that this store does not have.
public struct Epoch: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public init(run: UInt32, random: UInt32) { rawValue = UInt64(run) << 32 | UInt64(random) }

    public var run: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    public var description: String { Hex.encode(rawValue) }
}
