/// Encodes and decodes lower-case hexadecimal digits.
public enum Hex {
    private static let digits: StaticString = "0123456789abcdef"

    // For arrays and not for any collection: generic code from another module makes the runtime look through all
    // conformances of the program, which costs a command a tenth of its time.
    public static func encode(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { encode($0) } }

    public static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        String(unsafeUninitializedCapacity: 2 * bytes.count) { write(bytes, to: $0) }
    }

    /// Writes two digits for each byte, and returns how many.
    public static func write(_ bytes: UnsafeRawBufferPointer, to text: UnsafeMutableBufferPointer<UInt8>) -> Int {
        var length = 0
        for byte in bytes {
            text[length] = digits.utf8Start[Int(byte >> 4)]
            text[length + 1] = digits.utf8Start[Int(byte & 15)]
            length += 2
        }
        return length
    }

    /// All digits of a number, 16 or 8, so that these texts sort like the numbers.
    public static func encode(_ value: UInt64) -> String { withUnsafeBytes(of: value.bigEndian) { encode($0) } }
    public static func encode(_ value: UInt32) -> String { withUnsafeBytes(of: value.bigEndian) { encode($0) } }

    /// - Returns: nil for an odd number of digits, or for a character other than `0-9a-f`.
    public static func decode(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var upper: UInt8?
        for character in text.utf8 {
            guard let digit = character.hexDigitValue, !character.isASCIIUppercase else { return nil }
            if let high = upper {
                bytes.append(high << 4 | digit)
                upper = nil
            } else {
                upper = digit
            }
        }
        return upper == nil ? bytes : nil
    }
}
