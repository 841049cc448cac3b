import CSystem
import NatterSystem
import Testing
import TestSupport

@Suite("checksums and digests")
struct ChecksumTests {
    private static let readCommand: [UInt8] = [
        0x01, 0xC0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0,
        0x18,
        0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
    ]

    @Test(
        "CRC-32C agrees with RFC 3720, appendix B.4",
        arguments: [
            ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
            ((0..<32).map { UInt8($0) }, 0x46DD_794E), ((0..<32).map { UInt8(31 - $0) }, 0x113F_DB5C),
            (readCommand, 0xD996_3A56), (Array("123456789".utf8), 0xE306_9283), ([], 0),
        ] as [([UInt8], UInt32)])
    func vectors(bytes: [UInt8], checksum: UInt32) {
        #expect(Checksum.crc32c(bytes) == checksum)
        #expect(natter_crc32c_table(0, bytes, bytes.count) == checksum)
    }

    @Test("the processor's instruction and the table agree, at any length and place", arguments: UInt64(1)...50)
    func instructionAndTable(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = generator.bytes(600)
        for _ in 0..<50 {
            let start = Int.random(in: 0...40, using: &generator)
            let count = Int.random(in: 0...500, using: &generator)
            let before = UInt32(truncatingIfNeeded: generator.next())
            bytes.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])
                #expect(
                    Checksum.crc32c(part, continuing: before)
                        == natter_crc32c_table(before, part.baseAddress, part.count))
            }
        }
    }

    @Test("a CRC-32C can be taken in pieces", arguments: UInt64(1)...20)
    func pieces(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let bytes = generator.bytes(Int.random(in: 1...200, using: &generator))
        for cut in 0...bytes.count {
            let first = Checksum.crc32c(Array(bytes[..<cut]))
            let whole = Array(bytes[cut...]).withUnsafeBytes { Checksum.crc32c($0, continuing: first) }
            #expect(whole == Checksum.crc32c(bytes))
        }
    }

    @Test(
        "a digest is BLAKE2b of 32 bytes",
        arguments: [
            ("", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"),
            ("abc", "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
            (String(repeating: "a", count: 200), "6b6e59aaf00eb730cf93de53560846722184bbd92f8368c21ffa95380c2f9fe6"),
        ])
    func digests(text: String, hex: String) {
        let digest = Digest(of: Array(text.utf8))
        #expect(digest.description == hex)
        #expect(Digest(hex: hex) == digest)
        #expect(Digest(bytes: digest.bytes) == digest)
    }

    @Test("a step of a chain is the digest of one after the other")
    func pair() {
        let (first, second) = (Digest(of: []), Digest(of: Array("abc".utf8)))
        #expect(Digest(of: first, second) == Digest(of: first.bytes + second.bytes))
        #expect(
            Digest(of: first, second).description == "6274b1bdaf59df55ad2433db4eb488e08fadeed520d6fca412f661bf4dfce1c1")
        #expect(Digest(of: first, second) != Digest(of: second, first))
    }

    @Test("a digest has 32 bytes", arguments: [0, 31, 33, 64])
    func digestLength(count: Int) {
        #expect(Digest(bytes: [UInt8](repeating: 7, count: count)) == nil)
        #expect(Digest(hex: String(repeating: "07", count: count)) == nil)
    }

    @Test("a digest's prefix is its first eight bytes, least significant first")
    func prefix() throws {
        let digest = try #require(Digest(bytes: (1...32).map { UInt8($0) }))
        #expect(digest.prefix == 0x0807_0605_0403_0201)
        #expect(Digest.zero.bytes == [UInt8](repeating: 0, count: 32))
        var last = digest.bytes
        last[31] ^= 1
        #expect(Digest(bytes: last) != digest)
    }

    @Test("a token is 43 characters that come back")
    func tokens() {
        let token = Token.random()
        #expect(token.text.utf8.count == 43)
        #expect(Token(token.text)?.digest == token.digest)
        #expect(Token.random().text != token.text)
        #expect(Token("") == nil && Token(String(token.text.dropLast())) == nil && Token(token.text + "A") == nil)
        #expect(Token(String(repeating: "!", count: 43)) == nil)
    }

    @Test("a short hash agrees with the vectors of SipHash-2-4")
    func shortHash() throws {
        let key = try #require(ShortHashKey(bytes: (0..<16).map { UInt8($0) }))
        let message = (0..<15).map { UInt8($0) }
        #expect(message.withUnsafeBytes { key.hash($0) } == 0xA129_CA61_49BE_45E5)
        #expect(ShortHashKey(bytes: [1]) == nil)
        #expect(key.hash("я") == Array("я".utf8).withUnsafeBytes { key.hash($0) })
    }

    @Test("a password's hash matches that password alone")
    func passwords() throws {
        let hash = try #require(PasswordHash(of: "correct horse"))
        #expect(hash.text.hasPrefix("$argon2id$v=19$m=65536,t=2,p=1$"))
        #expect(PasswordHash(stored: hash.text).matches("correct horse"))
        #expect(!hash.matches("correct horsf") && !hash.matches("") && !hash.matches("correct horse\u{0}"))
        #expect(!PasswordHash(stored: "").matches("") && !PasswordHash(stored: "no hash").matches("no hash"))
    }

    @Test("the hash for unknown names is no password's, and costs what a password's hash costs")
    func decoy() throws {
        #expect(!PasswordHash.decoy.matches("") && !PasswordHash.decoy.matches("correct horse"))
        let shape = /\$argon2id\$v=19\$m=65536,t=2,p=1\$[A-Za-z0-9+\/]{22}\$[A-Za-z0-9+\/]{43}/
        #expect(PasswordHash.decoy.text.wholeMatch(of: shape) != nil)
        #expect(try #require(PasswordHash(of: "correct horse")).text.wholeMatch(of: shape) != nil)
    }
}
