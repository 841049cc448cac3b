internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// Writes the fields of a change one after the other.
struct FieldWriter {
    var bytes: [UInt8]

    mutating func byte(_ value: UInt8) { bytes.append(value) }
    mutating func put(_ value: UInt64) { LEB128.append(value, to: &bytes) }
    mutating func put(_ value: Int64) { put(LEB128.zigzag(value)) }
    mutating func put(_ value: Bool) { bytes.append(value ? 1 : 0) }
    mutating func put(_ value: Digest) { bytes += value.bytes }

    mutating func put(_ value: [UInt8]) { bytes.append(counted: value) }
    mutating func put(_ value: String) { bytes.append(counted: value.utf8) }

    mutating func optional<Value>(_ value: Value?, _ put: (inout FieldWriter, Value) -> Void) {
        self.put(value != nil)
        if let value { put(&self, value) }
    }

    /// Sorted, so that equal changes have equal bytes.
    mutating func counts(_ counts: [String: Int]) {
        list(counts.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) { output, sender in
            output.put(sender.key)
            output.put(UInt64(clamping: sender.value))
        }
    }

    mutating func list<Value>(_ values: [Value], _ put: (inout FieldWriter, Value) -> Void) {
        self.put(UInt64(values.count))
        for value in values { put(&self, value) }
    }
}

/// Reads the fields of a change. An incomplete or malformed field is an error.
struct FieldReader {
    static let malformed = FormatViolation("a change is malformed")
    var reader: ByteReader

    mutating func byte() throws(FormatViolation) -> UInt8 {
        guard let value = reader.byte() else { throw FieldReader.malformed }
        return value
    }

    mutating func unsigned() throws(FormatViolation) -> UInt64 {
        guard let value = reader.leb128() else { throw FieldReader.malformed }
        return value
    }

    mutating func signed() throws(FormatViolation) -> Int64 { LEB128.unzigzag(try unsigned()) }

    mutating func bool() throws(FormatViolation) -> Bool {
        let value = try byte()
        guard value <= 1 else { throw FieldReader.malformed }
        return value == 1
    }

    mutating func account() throws(FormatViolation) -> AccountID { AccountID(rawValue: try signed()) }
    mutating func time() throws(FormatViolation) -> Timestamp { Timestamp(milliseconds: try signed()) }

    mutating func digest() throws(FormatViolation) -> Digest {
        guard let digest = reader.digest() else { throw FieldReader.malformed }
        return digest
    }

    private mutating func field() throws(FormatViolation) -> UnsafeRawBufferPointer {
        guard let field = reader.countedBytes() else { throw FieldReader.malformed }
        return field
    }

    mutating func text() throws(FormatViolation) -> String {
        guard let text = String(validating: try field(), as: UTF8.self) else { throw FieldReader.malformed }
        return text
    }

    mutating func conversation() throws(FormatViolation) -> ConversationID {
        guard let id = ConversationID(bytes: Array(try field())) else { throw FieldReader.malformed }
        return id
    }

    mutating func optional<Value>(
        _ read: (inout FieldReader) throws(FormatViolation) -> Value
    ) throws(FormatViolation) -> Value? {
        try bool() ? try read(&self) : nil
    }

    mutating func counts() throws(FormatViolation) -> [String: Int] {
        let counts = try list { input throws(FormatViolation) in
            (try input.text(), Int(clamping: try input.unsigned()))
        }
        return Dictionary(counts, uniquingKeysWith: { $0.addingReportingOverflow($1).partialValue })
    }

    mutating func list<Value>(
        _ read: (inout FieldReader) throws(FormatViolation) -> Value
    ) throws(FormatViolation) -> [Value] {
        let count = try unsigned()
        // Each value takes at least one byte, so a count can't ask for more memory than the input has.
        guard count <= UInt64(reader.remaining) else { throw FieldReader.malformed }
        var values: [Value] = []
        for _ in 0..<Int(count) { values.append(try read(&self)) }
        return values
    }
}
