/// The base64 of RFC 4648 section 5 ("URL and filename safe"), without padding.
public enum Base64URL {
    private static let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for value in 0..<64 { values[Int(alphabet.utf8Start[value])] = UInt8(value) }
        return values
    }()

    public static func encode(_ bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: (bytes.count * 4 + 2) / 3) { write(bytes, to: $0) }
    }

    /// Writes the text, and returns how many characters it has: four for three bytes, rounded up.
    public static func write(_ bytes: [UInt8], to text: UnsafeMutableBufferPointer<UInt8>) -> Int {
        var length = 0
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for byte in bytes {
            // The bits of former characters leave at the top.
            bits = bits &<< 8 | UInt32(byte)
            count += 8
            repeat {
                count -= 6
                text[length] = alphabet.utf8Start[Int(bits &>> count & 63)]
                length += 1
            } while count >= 6
        }
        if count > 0 {
            text[length] = alphabet.utf8Start[Int(bits &<< (6 - count) & 63)]
            length += 1
        }
        return length
    }

    /// - Returns: nil for a character outside the alphabet, an impossible length, or unused bits that are not zero. So
    ///   two different strings never decode to the same bytes.
    public static func decode(_ text: String) -> [UInt8]? {
        let (text, values) = (text.utf8.span, values)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count * 3 / 4)
        var bits: UInt32 = 0
        var count: UInt32 = 0
        for index in text.indices {
            let value = values[Int(text[index])]
            guard value != 255 else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> count))
                bits &= (1 << count) - 1
            }
        }
        return count < 6 && bits == 0 ? bytes : nil
    }
}
