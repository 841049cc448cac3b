internal import NatterLog

/// The dictionaries of one answer, kept packed: a server sends each once, whatever conversations its blocks belong to.
struct ReceivedDictionaries {
    private var records: [DictionaryID: [UInt8]] = [:]
    private var latest: LogDictionary?

    /// - Throws: for a record that is malformed.
    mutating func add(_ record: [UInt8]) throws(FormatViolation) {
        let dictionary = try record.withUnsafeBytesTyped { bytes throws(FormatViolation) in
            try LogDictionary(decoding: bytes)
        }
        records[dictionary.id] = record
        latest = dictionary
    }

    subscript(id: DictionaryID) -> LogDictionary? {
        if let latest, latest.id == id { return latest }
        return records[id]?.withUnsafeBytes { try? LogDictionary(decoding: $0) }
    }
}
