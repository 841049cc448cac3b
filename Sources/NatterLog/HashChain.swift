public import NatterSystem
public import NatterModel

/// The hash chain over a conversation's messages.
///
///     h(0) = BLAKE2b(conversation id)
///     h(n) = BLAKE2b(h(n−1) ‖ H(record n))
///
///     H(record) = BLAKE2b of
///         16 bytes  salt: BLAKE2b(key: seed of the run, 1 byte: place in the run)
///         1 byte    kind
///         1 byte    flags, without the one for erased records
///         LEB128    its seq minus the one that it is about; 0 for none
///         8 bytes   time, little-endian
///         LEB128    how many milliseconds earlier it was written; 0 for none
///         LEB128    length of the label of the token that sent it; 0 for none
///                   the label
///         LEB128    length of the sender's name
///                   the sender's name
///                   the text
///
/// The chain covers uncompressed content. Two stores with the same h(n) have the same messages up to n, however they divided
/// and compressed them. The commit is not part of a record's hash: a restored server assigns its own. H is a separate step so
/// that an erased record can leave its H behind. The salt goes with the text, so that H does not confirm a guess.
public enum HashChain {
    public static func start(of conversation: ConversationID) -> Digest { Digest(of: conversation.bytes) }

    /// H of one record.
    public static func digest(of record: Record) -> Digest {
        if case .erased(let digest) = record.salt { return digest }
        return digest(of: record, salt: record.salt.salt)
    }

    /// A hash of what a record says, without a salt. It compares messages of two histories and is never stored with them.
    public static func content(of record: Record) -> Digest { digest(of: record, salt: nil) }

    private static func digest(of record: Record, salt: Salt?) -> Digest {
        let delay = record.written.flatMap { Records.delay(of: $0, before: record.time) } ?? 0
        return record.sender.withUnsafeBytes { sender in
            record.text.withUnsafeBytes { text in
                digest(
                    salt: salt, kind: record.kind.rawValue, flags: record.isImported ? Records.Flags.imported : 0,
                    distance: record.about.map { record.seq.rawValue &- $0.rawValue } ?? 0,
                    time: record.time.milliseconds, delay: delay,
                    label: record.via ?? [], sender: sender, text: text)
            }
        }
    }

    static func digest(of records: Records, at index: Int) -> Digest {
        let source = records.salts[index]
        if case .erased(let digest) = source { return digest }
        let row = records.rows[index]
        let delay = records.delays.isEmpty ? 0 : records.delays[index] ?? 0
        let distance = row.about == 0 ? 0 : records.firstSeq.advanced(by: index).rawValue &- row.about
        let label = row.label == 0 ? [] : records.labels[Int(row.label) - 1]
        return records.senders[Int(row.sender)].withUnsafeBytes { sender in
            records.withText(at: index) { text in
                digest(
                    salt: source.salt, kind: row.kind, flags: row.flags & ~Records.Flags.erased, distance: distance,
                    time: row.time, delay: delay, label: label, sender: sender, text: text)
            }
        }
    }

    private static func digest(
        salt: Salt?, kind: UInt8, flags: UInt8, distance: UInt64, time: Int64, delay: UInt64, label: [UInt8],
        sender: UnsafeRawBufferPointer, text: UnsafeRawBufferPointer
    ) -> Digest {
        // Salt, kind, flags, distance, time, delay, and the lengths of the label and of the sender's name.
        let longestFields = Salt.byteCount + 2 + MemoryLayout<Int64>.size + 4 * LEB128.maximumBytes
        let capacity = longestFields + label.count + sender.count + text.count
        return withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 8) { buffer in
            var length = 0
            func put(_ byte: UInt8) {
                buffer[length] = byte
                length += 1
            }
            func putLEB128(_ value: UInt64) {
                var rest = value
                while rest >= 0x80 {
                    put(UInt8(truncatingIfNeeded: rest) | 0x80)
                    rest >>= 7
                }
                put(UInt8(rest))
            }
            func putBigEndian(_ value: UInt64) {
                for shift in stride(from: 56, through: 0, by: -8) { put(UInt8(truncatingIfNeeded: value >> shift)) }
            }
            if let salt {
                putBigEndian(salt.high)
                putBigEndian(salt.low)
            }
            put(kind)
            put(flags)
            putLEB128(distance)
            for shift in stride(from: Int64(0), to: 64, by: 8) { put(UInt8(truncatingIfNeeded: time >> shift)) }
            putLEB128(delay)
            putLEB128(UInt64(label.count))
            for byte in label { put(byte) }
            putLEB128(UInt64(sender.count))
            UnsafeMutableRawBufferPointer(rebasing: buffer[length...]).copyMemory(from: sender)
            length += sender.count
            UnsafeMutableRawBufferPointer(rebasing: buffer[length...]).copyMemory(from: text)
            length += text.count
            return Digest(of: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        }
    }

    /// H of each record, for a caller that chains them later, when it knows the hash before the first.
    public static func digests(of records: Records) -> [Digest] {
        (0..<records.count).map { digest(of: records, at: $0) }
    }

    /// h after one more record, by its H.
    public static func advance(_ digest: Digest, by record: Digest) -> Digest { Digest(of: digest, record) }

    /// Whether the block has the same records under these seqs. Records outside the block are ignored.
    public static func agree(_ block: Records, _ records: [Record]) -> Bool {
        records.allSatisfy { record in
            block.index(of: record.seq).map { digest(of: block, at: $0) == digest(of: record) } ?? true
        }
    }

    /// h after messages that were lost before they were sealed. Their own chain is unknown, so the result differs from the
    /// chain of every reader that has them.
    public static func advance(_ digest: Digest, overLost range: ClosedRange<Seq>) -> Digest {
        Digest(of: digest, Digest(of: Array("lost \(range.lowerBound) to \(range.upperBound)".utf8)))
    }

    /// h after one more record.
    public static func advance(_ digest: Digest, over record: Record) -> Digest {
        Digest(of: digest, self.digest(of: record))
    }

    /// h after the records of `range`, with `digest` as h before the first.
    public static func advance(_ digest: Digest, over records: Records, _ range: Range<Int>? = nil) -> Digest {
        var h = digest
        for index in range ?? 0..<records.count { h = Digest(of: h, self.digest(of: records, at: index)) }
        return h
    }
}
