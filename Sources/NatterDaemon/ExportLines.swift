internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Messages as lines of JSON, the same as `ExportLine` gives, straight from a block's bytes: an object and an encoder for
/// each message would take several times as long.
enum ExportLines {
    static func append(_ messages: ExportedMessages, to output: inout [UInt8]) {
        messages.forEach { seq, time, sender, kind, text in
            output.append(contentsOf: "{".utf8)
            if kind != .text {
                output.append(contentsOf: "\"kind\":".utf8)
                JSONText.append(kind.name, to: &output)
                output.append(UInt8(ascii: ","))
            }
            output.append(contentsOf: "\"sender\":".utf8)
            sender.withUnsafeBytes { JSONText.append(utf8: $0, to: &output) }
            output.append(contentsOf: ",\"seq\":".utf8)
            JSONText.append(seq.rawValue, to: &output)
            output.append(contentsOf: ",\"text\":".utf8)
            JSONText.append(utf8: text, to: &output)
            output.append(contentsOf: ",\"ts\":".utf8)
            JSONText.append(time.milliseconds, to: &output)
            output.append(contentsOf: "}\n".utf8)
        }
    }
}
