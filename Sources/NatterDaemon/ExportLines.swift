internal import NatterModel
internal import NatterStore

/// Messages as lines of JSON, the same as `ExportLine` gives, straight from a block's bytes: an object and an encoder for
/// each message would take several times as long.
enum ExportLines {
    private static let digits = Array("0123456789abcdef".utf8)

    static func append(_ messages: ExportedMessages, to output: inout [UInt8]) {
        messages.forEach { seq, time, sender, kind, text in
            output.append(contentsOf: "{".utf8)
            if kind != .text {
                output.append(contentsOf: "\"kind\":".utf8)
                Array(kind.name.utf8).withUnsafeBytes { append(quoting: $0, to: &output) }
                output.append(UInt8(ascii: ","))
            }
            output.append(contentsOf: "\"sender\":".utf8)
            sender.withUnsafeBytes { append(quoting: $0, to: &output) }
            output.append(contentsOf: ",\"seq\":".utf8)
            append(Int64(clamping: seq.rawValue), to: &output)
            output.append(contentsOf: ",\"text\":".utf8)
            append(quoting: text, to: &output)
            output.append(contentsOf: ",\"ts\":".utf8)
            append(time.milliseconds, to: &output)
            output.append(contentsOf: "}\n".utf8)
        }
    }

    private static func append(_ number: Int64, to output: inout [UInt8]) {
        output.append(contentsOf: String(number).utf8)
    }

    /// - Parameter text: UTF-8.
    private static func append(quoting text: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        // What needs no change is copied in runs.
        var run = 0
        for index in text.indices {
            let byte = text[index]
            if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
            output.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[run..<index]))
            run = index + 1
            output.append(UInt8(ascii: "\\"))
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(byte)
            case 0x08: output.append(UInt8(ascii: "b"))
            case 0x09: output.append(UInt8(ascii: "t"))
            case 0x0A: output.append(UInt8(ascii: "n"))
            case 0x0C: output.append(UInt8(ascii: "f"))
            case 0x0D: output.append(UInt8(ascii: "r"))
            default:
                output.append(contentsOf: "u00".utf8)
                output.append(digits[Int(byte >> 4)])
                output.append(digits[Int(byte & 15)])
            }
        }
        output.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[run...]))
        output.append(UInt8(ascii: "\""))
    }
}
