// Bodies and lines of JSON. They are refused, or the decoded values can be encoded and decoded again. No depth of
// nesting may cause a crash.
import NatterModel

@testable import NatterClient
@testable import NatterProtocol

private func tryOut<Value: Codable>(_: Value.Type, _ bytes: [UInt8]) -> Value? {
    guard let value: Value = try? WireJSON.decode(from: bytes) else { return nil }
    let first = WireJSON.encode(value)
    guard let again: Value = try? WireJSON.decode(from: first) else { preconditionFailure("it does not read itself") }
    require(WireJSON.encode(again) == first, "it is another one when written again")
    return value
}

/// The generic parameter hides that a type writes itself, so this always uses the encoder.
private func byEncoder(_ value: some Encodable) -> [UInt8] { WireJSON.encode(value) }

private func sameWriters(_ value: (some JSONWritable)?) {
    guard let value else { return }
    require(WireJSON.encode(value) == byEncoder(value), "the two writers differ")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let choice = input.byte()
    let bytes = input.bytes
    switch choice % 16 {
    case 0: _ = tryOut(RegisterRequest.self, bytes)
    case 1: _ = tryOut(LoginRequest.self, bytes)
    case 2:
        // Two readers of one body: the decoder and the fast path.
        let slow = tryOut(SendRequest.self, bytes)
        let fast = try? WireJSON.decode(SendRequest.self, from: bytes)
        require(slow.map(byEncoder) == fast.map(byEncoder), "the two readers differ")
        sameWriters(slow)
    case 3: sameWriters(tryOut(ExportLine.self, bytes))
    case 4: _ = tryOut(ReadRequest.self, bytes)
    case 5: _ = tryOut(PasswordRequest.self, bytes)
    case 6: _ = tryOut(LogoutRequest.self, bytes)
    case 7: _ = tryOut(WhoamiAnswer.self, bytes)
    case 8: sameWriters(tryOut(ConversationObject.self, bytes))
    case 9: _ = tryOut(UserObject.self, bytes)
    case 10: _ = tryOut(SyncGone.self, bytes)
    case 11: _ = tryOut(SyncDamage.self, bytes)
    case 12: _ = try? SyncItem(line: bytes)
    case 13:
        let message = tryOut(MessageObject.self, bytes)
        sameWriters(message)
        _ = message?.message
    case 14:
        // Any text is valid JSON after it has been written as JSON.
        var line: [UInt8] = []
        line.appendJSON(input.text)
        let back: String? = try? WireJSON.decode(from: line)
        require(back.map { Array($0.utf8) } == Array(input.text.utf8), "a text is not what was written")
    default:
        let answers = BatchAnswers(expected: 4) { _ in }
        var rest = bytes[...]
        let piece = max(1, Int(choice / 16) * 7)
        do {
            while !rest.isEmpty {
                try rest.prefix(piece).withUnsafeBytes { try answers.feed($0) }
                rest = rest.dropFirst(piece)
            }
        } catch {}
        require(answers.takenCount <= 4, "more answers than lines")
    }
    return 0
}
