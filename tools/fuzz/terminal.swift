// Text from other users, made safe to show. For any input, the output contains nothing that controls a terminal.
import NatterCommandLine

private let rules: [TerminalText.Rule] = [.text, .message, .line, .name, .json]

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let choice = Int(input.byte()) % rules.count
    var output: [UInt8] = []
    TerminalText.append(escaping: input.bytes, rules[choice], to: &output)
    guard let shown = String(validating: output, as: UTF8.self) else { preconditionFailure("it is not UTF-8") }
    for scalar in shown.unicodeScalars {
        switch scalar.value {
        case 0x0A: require(choice < 2 || choice == 4, "a line break is left")
        case 0x09: require(choice < 2, "a tab is left")
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xE0000...0xE007F:
            preconditionFailure("U+\(String(scalar.value, radix: 16)) is left")
        default: break
        }
    }
    return 0
}
