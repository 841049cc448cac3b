import NatterSystem
import Testing

@Suite("digests of streams, and sealed boxes")
struct StreamingDigestTests {
    @Test("the pieces make no difference", arguments: [1, 7, 128, 4_096])
    func pieces(step: Int) {
        let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let digest = StreamingDigest()
        for start in stride(from: 0, to: bytes.count, by: step) {
            digest.add(Array(bytes[start..<min(bytes.count, start + step)]))
        }
        #expect(digest.finish() == Digest(of: bytes).bytes)
    }

    @Test("nothing has a digest, too")
    func empty() {
        #expect(StreamingDigest().finish() == Digest(of: []).bytes)
    }

    @Test("a box opens with its own key only, and unchanged")
    func box() {
        let (secret, bytes) = (ShortHashKey.random(), Array("what is inside".utf8))
        let box = SecretBox(secret, for: "test")
        var sealed = box.seal(bytes)
        #expect(box.open(sealed) == bytes)
        #expect(box.seal(bytes) != sealed)
        #expect(box.open(box.seal([])) == [])
        #expect(SecretBox(secret, for: "other").open(sealed) == nil)
        #expect(SecretBox(.random(), for: "test").open(sealed) == nil)
        for count in 0..<sealed.count { #expect(box.open(Array(sealed.prefix(count))) == nil) }
        for index in sealed.indices {
            sealed[index] ^= 1
            #expect(box.open(sealed) == nil)
            sealed[index] ^= 1
        }
    }
}
