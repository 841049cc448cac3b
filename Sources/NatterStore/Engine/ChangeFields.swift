internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// A value in the bytes of a change. Numbers are LEB128, signed ones zigzag. Text, ids of conversations and lists follow their
/// length, and digests have 32 bytes. An optional value is the byte 0, or the byte 1 and the value.
protocol ChangeField {
    func put(into bytes: inout [UInt8])
    /// - Throws: if it is incomplete or malformed.
    init(field reader: inout ByteReader) throws(FormatViolation)
}

extension [UInt8] {
    mutating func put(kind: UInt8, _ fields: any ChangeField...) {
        append(kind)
        for field in fields { field.put(into: &self) }
    }

    mutating func put(_ fields: any ChangeField...) { for field in fields { field.put(into: &self) } }
}

extension ByteReader {
    mutating func field<Field: ChangeField>() throws(FormatViolation) -> Field { try Field(field: &self) }

    mutating func list<Value>(
        _ read: (inout ByteReader) throws(FormatViolation) -> Value
    ) throws(FormatViolation) -> [Value] {
        let count: UInt64 = try field()
        // Each value takes at least one byte, so a count can't ask for more memory than the input has.
        guard count <= UInt64(remaining) else { throw .malformedChange }
        var values: [Value] = []
        for _ in 0..<Int(count) { values.append(try read(&self)) }
        return values
    }
}

extension FormatViolation {
    fileprivate static let malformedChange = FormatViolation("a change is malformed")
}

extension Optional {
    fileprivate func found() throws(FormatViolation) -> Wrapped {
        guard let self else { throw .malformedChange }
        return self
    }
}

extension UInt8: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.append(self) }
    init(field reader: inout ByteReader) throws(FormatViolation) { self = try reader.byte().found() }
}

extension UInt64: ChangeField {
    func put(into bytes: inout [UInt8]) { LEB128.append(self, to: &bytes) }
    init(field reader: inout ByteReader) throws(FormatViolation) { self = try reader.leb128().found() }
}

extension Int64: ChangeField {
    func put(into bytes: inout [UInt8]) { LEB128.append(LEB128.zigzag(self), to: &bytes) }
    init(field reader: inout ByteReader) throws(FormatViolation) { self = LEB128.unzigzag(try reader.field()) }
}

extension Bool: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.append(self ? 1 : 0) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        let value: UInt8 = try reader.field()
        guard value <= 1 else { throw .malformedChange }
        self = value == 1
    }
}

extension String: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.append(counted: utf8) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try String(validating: reader.countedBytes().found(), as: UTF8.self).found()
    }
}

extension Array: ChangeField where Element: ChangeField {
    func put(into bytes: inout [UInt8]) {
        UInt64(count).put(into: &bytes)
        for element in self { element.put(into: &bytes) }
    }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try reader.list { reader throws(FormatViolation) in try reader.field() }
    }
}

extension Optional: ChangeField where Wrapped: ChangeField {
    func put(into bytes: inout [UInt8]) {
        bytes.put(self != nil)
        self?.put(into: &bytes)
    }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try reader.field() ? try Wrapped(field: &reader) : nil
    }
}

extension Dictionary: ChangeField where Key == String, Value == Int {
    func put(into bytes: inout [UInt8]) {
        bytes.put(UInt64(count))
        // Sorted, so that equal changes have equal bytes.
        for (key, value) in sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            bytes.put(key, UInt64(clamping: value))
        }
    }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        let counts = try reader.list { reader throws(FormatViolation) in
            (try String(field: &reader), Int(clamping: try UInt64(field: &reader)))
        }
        self.init(counts, uniquingKeysWith: { $0.addingReportingOverflow($1).partialValue })
    }
}

extension Digest: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes += self.bytes }
    init(field reader: inout ByteReader) throws(FormatViolation) { self = try reader.digest().found() }
}

extension ConversationID: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(self.bytes) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try ConversationID(bytes: [UInt8](field: &reader)).found()
    }
}

extension UserName: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(text) }
    init(field reader: inout ByteReader) throws(FormatViolation) { self.init(trusted: try reader.field()) }
}

extension Scope: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(description, ids) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        let (text, ids): (String, [UInt8]?) = try (reader.field(), reader.field())
        self = try Scope(text, ids: ids ?? []).found()
    }
}

extension Retention: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(UInt64(days ?? 0)) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        let days: UInt64 = try reader.field()
        self.init(days: days == 0 ? nil : Int(clamping: days))
    }
}

extension ChangeKind: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(UInt8(truncatingIfNeeded: rawValue)) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try ChangeKind(rawValue: Int(UInt8(field: &reader))).found()
    }
}

extension ChangeField where Self: RawRepresentable, RawValue: ChangeField {
    func put(into bytes: inout [UInt8]) { rawValue.put(into: &bytes) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try Self(rawValue: try reader.field()).found()
    }
}

extension AccountID: ChangeField {}
extension Seq: ChangeField {}
extension Commit: ChangeField {}
extension Epoch: ChangeField {}
extension Timestamp: ChangeField {}
extension MessageKind: ChangeField {}
extension ConversationKind: ChangeField {}
extension FileRow.State: ChangeField {}

extension FileID: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes += self.bytes }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self = try reader.slice(FileID.byteCount).flatMap { FileID(bytes: Array($0)) }.found()
    }
}

extension AccountPair: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(first, second) }
    init(field reader: inout ByteReader) throws(FormatViolation) { self.init(try reader.field(), try reader.field()) }
}

extension Change.Visit: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(number, time, address) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self.init(number: try reader.field(), time: try reader.field(), address: try reader.field())
    }
}

extension Change.ImportedKey: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(hash, seq, content) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self.init(hash: try reader.field(), seq: try reader.field(), content: try reader.field())
    }
}

extension Change.MovedTail: ChangeField {
    func put(into bytes: inout [UInt8]) { bytes.put(conversation, lastSeq) }
    init(field reader: inout ByteReader) throws(FormatViolation) {
        self.init(conversation: try reader.field(), lastSeq: try reader.field())
    }
}
