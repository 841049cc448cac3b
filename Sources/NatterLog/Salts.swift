public import NatterSystem
public import NatterModel

/// 16 random bytes from which the salts of a run are made: up to 256 messages of one conversation, one after the other.
///
/// Without a salt, H of an erased message would tell whether a guess at its text is right. Erasing replaces the seed of
/// the run by the salts of the messages that stay. Nobody can make the salt of the erased message again.
public struct SaltSeed: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }

    public static func random() -> SaltSeed {
        var random = SecureRandom()
        return SaltSeed(using: &random)
    }

    /// The salt of one message: 16 bytes of BLAKE2b with the seed as key.
    public func salt(at place: UInt8) -> Salt {
        let (high, low) = Digest.keyed(high: high, low: low, place)
        return Salt(high: high, low: low)
    }
}

/// 16 bytes that are hashed together with a message.
public struct Salt: Identifier128 {
    public let high: UInt64
    public let low: UInt64
    public init(high: UInt64, low: UInt64) { (self.high, self.low) = (high, low) }
}

/// The source of the salt that the hash of one message needs besides the message.
public enum SaltSource: Equatable, Sendable {
    /// The seed of its run, and its place in the run.
    case seed(SaltSeed, place: UInt8)
    /// Its salt alone, because another message of its run was erased.
    case salt(Salt)
    /// H, because the message itself was erased.
    case erased(Digest)

    /// The source of the message after this one; nil if a new run begins there.
    public var next: SaltSource? {
        guard case .seed(let seed, let place) = self, place < .max else { return nil }
        return .seed(seed, place: place + 1)
    }

    /// The first message of a new run.
    public static func newRun() -> SaltSource { .seed(.random(), place: 0) }

    /// nil for an erased message.
    public var salt: Salt? {
        switch self {
        case .seed(let seed, let place): seed.salt(at: place)
        case .salt(let salt): salt
        case .erased: nil
        }
    }
}

/// The salts of consecutive messages, by runs. A message costs no memory of its own as long as nothing is erased.
struct SaltRuns: Equatable, Sendable {
    enum Content: Equatable, Sendable {
        case seed(SaltSeed, first: UInt8)
        case salts([Salt])
        case erased([Digest])
    }

    struct Run: Equatable, Sendable {
        /// The position after its last message.
        var end: Int
        var content: Content
    }

    private(set) var runs: [Run] = []

    var count: Int { runs.last?.end ?? 0 }

    mutating func append(_ source: SaltSource) {
        let start = runs.count > 1 ? runs[runs.count - 2].end : 0
        if let last = runs.last {
            switch (last.content, source) {
            case (.seed(let seed, let first), .seed(let next, let place))
            where seed == next && Int(place) == Int(first) + last.end - start:
                runs[runs.count - 1].end += 1
                return
            case (.salts(var salts), .salt(let salt)):
                runs[runs.count - 1] = Run(end: last.end, content: .salts([]))
                salts.append(salt)
                runs[runs.count - 1] = Run(end: last.end + 1, content: .salts(salts))
                return
            case (.erased(var digests), .erased(let digest)):
                runs[runs.count - 1] = Run(end: last.end, content: .erased([]))
                digests.append(digest)
                runs[runs.count - 1] = Run(end: last.end + 1, content: .erased(digests))
                return
            default: break
            }
        }
        let content: Content =
            switch source {
            case .seed(let seed, let place): .seed(seed, first: place)
            case .salt(let salt): .salts([salt])
            case .erased(let digest): .erased([digest])
            }
        runs.append(Run(end: count + 1, content: content))
    }

    subscript(index: Int) -> SaltSource {
        let run = runs.indices.dropLast().partitionPoint { runs[$0].end > index }
        let offset = index - (run == 0 ? 0 : runs[run - 1].end)
        switch runs[run].content {
        case .seed(let seed, let first): return .seed(seed, place: first &+ UInt8(truncatingIfNeeded: offset))
        case .salts(let salts): return .salt(salts[offset])
        case .erased(let digests): return .erased(digests[offset])
        }
    }

    /// The source of the message after the last one.
    var next: SaltSource { runs.isEmpty ? .newRun() : self[count - 1].next ?? .newRun() }

    // MARK: The column

    private enum Tag {
        static let seed: UInt8 = 0
        static let salts: UInt8 = 1
        static let erased: UInt8 = 2
    }

    /// The column of the messages at `range`: for each run its form (one byte), its count (LEB128), and the first place
    /// (one byte) and the seed, or the salts, or the digests.
    func encode(_ range: Range<Int>) -> [UInt8] {
        var bytes: [UInt8] = []
        var start = 0
        for run in runs {
            defer { start = run.end }
            let part = max(start, range.lowerBound)..<max(start, range.lowerBound, min(run.end, range.upperBound))
            if part.isEmpty { continue }
            let offset = part.lowerBound - start
            switch run.content {
            case .seed(let seed, let first):
                bytes.append(Tag.seed)
                LEB128.append(UInt64(part.count), to: &bytes)
                bytes.append(first &+ UInt8(truncatingIfNeeded: offset))
                bytes += seed.bytes
            case .salts(let salts):
                bytes.append(Tag.salts)
                LEB128.append(UInt64(part.count), to: &bytes)
                for salt in salts[offset..<offset + part.count] { bytes += salt.bytes }
            case .erased(let digests):
                bytes.append(Tag.erased)
                LEB128.append(UInt64(part.count), to: &bytes)
                for digest in digests[offset..<offset + part.count] { bytes += digest.bytes }
            }
        }
        return bytes
    }

    init() {}

    /// Decodes the column.
    ///
    /// - Parameter count: of the messages; the runs must have exactly as many.
    init(decoding column: UnsafeRawBufferPointer, count: Int) throws(FormatViolation) {
        let malformed = FormatViolation("the salts are malformed")
        var reader = ByteReader(column)
        func list<Element>(
            _ count: Int, bytes: Int, _ next: (inout ByteReader) -> Element?
        ) throws(FormatViolation) -> [Element] {
            guard reader.remaining >= count * bytes else { throw malformed }
            var list: [Element] = []
            list.reserveCapacity(count)
            for _ in 0..<count {
                guard let element = next(&reader) else { throw malformed }
                list.append(element)
            }
            return list
        }
        while !reader.isAtEnd {
            guard let tag = reader.byte(), let length = reader.leb128(), length > 0,
                length <= UInt64(count - self.count)
            else { throw malformed }
            let number = Int(length)
            let content: Content
            switch tag {
            case Tag.seed:
                guard let first = reader.byte(), Int(first) + number <= 256,
                    let seed = reader.identifier(SaltSeed.self)
                else { throw malformed }
                content = .seed(seed, first: first)
            case Tag.salts:
                content = .salts(try list(number, bytes: Salt.byteCount) { $0.identifier(Salt.self) })
            case Tag.erased: content = .erased(try list(number, bytes: Digest.byteCount) { $0.digest() })
            default: throw malformed
            }
            runs.append(Run(end: self.count + number, content: content))
        }
        guard self.count == count else { throw FormatViolation("the salts are cut short") }
    }

    /// The positions of each run, and whether its messages are erased.
    var parts: [(start: Int, end: Int, isErased: Bool)] {
        var start = 0
        return runs.map { run in
            defer { start = run.end }
            if case .erased = run.content { return (start, run.end, true) }
            return (start, run.end, false)
        }
    }
}
