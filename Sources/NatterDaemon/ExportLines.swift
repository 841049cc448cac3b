internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Writes messages as lines of JSON straight from a block's bytes: an object and an encoder for each message would take
/// several times as long.
enum ExportLines {
    static func append(_ messages: ExportedMessages, to output: inout [UInt8]) {
        messages.forEach { seq, time, sender, kind, text in
            sender.withUnsafeBytes {
                ExportLine.write(
                    seq: seq.rawValue, ts: time.milliseconds, sender: $0, text: text,
                    kind: kind == .text ? nil : kind.name, to: &output)
            }
            output.append(UInt8(ascii: "\n"))
        }
    }
}
