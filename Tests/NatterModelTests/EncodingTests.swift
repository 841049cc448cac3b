import NatterModel
import Testing
import TestSupport

@Suite("hexadecimal and base64url")
struct EncodingTests {
    @Test("hexadecimal gives back every byte")
    func hexRoundTrip() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Hex.decode(Hex.encode(bytes)[...]) == bytes)
        #expect(Hex.encode([0x00, 0x9A, 0xFF]) == "009aff")
        #expect(Hex.encode([]) == "" && Hex.decode("") == [])
    }

    @Test("a number has all of its sixteen digits, most significant first")
    func hexNumber() {
        #expect(Hex.encode(UInt64(1)) == "0000000000000001")
        #expect(Hex.encode(UInt64.max) == "ffffffffffffffff")
        #expect(Hex.encode(0x0123_4567_89AB_CDEF as UInt64) == "0123456789abcdef")
    }

    @Test(
        "hexadecimal takes pairs of 0-9a-f alone",
        arguments: ["0", "123", "0A", "AB", "g0", "0 ", " 00", "0x00", "é0", "00\n"])
    func hexForm(text: String) {
        #expect(Hex.decode(text[...]) == nil)
    }

    @Test(
        "base64url agrees with RFC 4648, section 10, without padding",
        arguments: zip(
            ["", "f", "fo", "foo", "foob", "fooba", "foobar"],
            ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"]))
    func base64Vectors(plain: String, encoded: String) {
        #expect(Base64URL.encode(Array(plain.utf8)) == encoded)
        #expect(Base64URL.decode(encoded) == Array(plain.utf8))
    }

    @Test("base64url has the alphabet for URLs")
    func base64Alphabet() {
        #expect(Base64URL.encode([0xFB, 0xFF, 0xFE]) == "-__-")
        #expect(Base64URL.decode("-__-") == [0xFB, 0xFF, 0xFE])
    }

    @Test("base64url round-trips", arguments: UInt64(1)...100)
    func base64RoundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = generator.bytes(Int.random(in: 0...100, using: &generator))
        #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
    }

    @Test(
        "base64url takes nothing else",
        arguments: ["A", "AAAAA", "Zg==", "Zg=", "Zh", "Zm9", "+A", "/A", "Z g", "Zg\n", "\u{0}", "éé", "AB", "AAB"])
    func base64Form(text: String) {
        #expect(Base64URL.decode(text) == nil)
    }

    @Test("no two strings of base64url stand for one value")
    func base64IsUnique() {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_").map(String.init)
        var accepted = 0
        for first in alphabet {
            for second in alphabet {
                // One byte in two characters, and with a third before them two bytes in three.
                if let bytes = Base64URL.decode(first + second) {
                    accepted += 1
                    #expect(Base64URL.encode(bytes) == first + second)
                }
                if let bytes = Base64URL.decode("a" + first + second) {
                    accepted += 1
                    #expect(Base64URL.encode(bytes) == "a" + first + second)
                }
            }
        }
        #expect(accepted == 256 + 4_096 / 4)
    }

    @Test("an identifier is 32 digits and back")
    func identifier() throws {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<100 {
            let id = ConversationID(using: &generator)
            #expect(id.description.utf8.count == 32)
            #expect(ConversationID(hex: id.description) == id)
            #expect(ConversationID(bytes: id.bytes) == id)
        }
        let id = ConversationID(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
        #expect(id.description == "0123456789abcdeffedcba9876543210")
        #expect(id.bytes.starts(with: [0x01, 0x23]))
        #expect(ConversationID(high: 1, low: 9) < ConversationID(high: 2, low: 0))
        #expect(ConversationID(high: 1, low: 1) < ConversationID(high: 1, low: 2))
    }

    @Test(
        "an identifier has one form",
        arguments: [
            "", "0123456789abcdeffedcba987654321", "0123456789abcdeffedcba98765432100",
            "0123456789ABCDEFFEDCBA9876543210",
            "0123456789abcdeffedcba98765432..", "../../../../../../../../etc/pass",
        ])
    func identifierForm(text: String) {
        #expect(ConversationID(hex: text) == nil)
    }

    @Test("an identifier is 16 bytes", arguments: [0, 15, 17, 32])
    func identifierLength(count: Int) {
        #expect(StoreID(bytes: [UInt8](repeating: 1, count: count)) == nil)
    }
}
