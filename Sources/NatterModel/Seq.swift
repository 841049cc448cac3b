/// A message's number in its conversation: 1, 2, 3 … without gaps. 0 stands for "before the first".
public struct Seq: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// Before the first message.
    public static let zero = Seq(0)

    /// The number that follows. Saturates, so that a number from outside can't overflow it.
    public var next: Seq { advanced(by: 1) }

    /// The number before this one; zero stays zero.
    public var previous: Seq { Seq(rawValue == 0 ? 0 : rawValue - 1) }

    public func advanced(by count: Int) -> Seq {
        let (sum, overflow) = rawValue.addingReportingOverflow(UInt64(max(0, count)))
        return Seq(overflow ? .max : sum)
    }

    /// How many numbers lie after `other` up to this one; 0 if none, and never more than `Int.max`.
    public func distance(after other: Seq) -> Int {
        rawValue > other.rawValue ? Int(clamping: rawValue - other.rawValue) : 0
    }

    public static func < (left: Seq, right: Seq) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
}

/// A number of the store: every durable batch takes the next one, whatever conversations it touches.
public struct Commit: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static let zero = Commit(0)
    public var next: Commit { Commit(rawValue &+ 1) }

    public static func < (left: Commit, right: Commit) -> Bool { left.rawValue < right.rawValue }
    public var description: String { String(rawValue) }
}

/// One run of a store: the upper 32 bits count the runs, the lower 32 are random.
///
/// A new one begins whenever a server opens the store, because only then may a history that had been acknowledged be
/// missing (a backup put back, by `restore` or by hand). A cursor whose commit belongs, by our own records, to another
/// epoch than the cursor says comes from a history that we do not share.
public struct Epoch: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public init(run: UInt32, random: UInt32) { rawValue = UInt64(run) << 32 | UInt64(random) }

    public var run: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    public var description: String { Hex.encode(rawValue) }
}
