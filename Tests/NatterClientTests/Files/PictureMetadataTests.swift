internal import NatterSystem
internal import SystemSupport
internal import TestSupport
internal import Testing

@testable internal import NatterClient

@Suite("pictures lose what tells of place and camera")
struct PictureMetadataTests {
    private static let secret = Array("52.5200N 13.4050E".utf8)

    /// What is sent of a file.
    private func sent(_ content: [UInt8], keepsMetadata: Bool = false) throws -> [UInt8] {
        let directory = try TemporaryDirectory()
        let file = try PosixDisk().open(try directory.write("picture", content), .read)
        let outgoing = try OutgoingFile(file, name: "picture", keepsMetadata: keepsMetadata)
        var bytes: [UInt8] = []
        while UInt64(bytes.count) < outgoing.count { bytes += try outgoing.read(count: 7, at: UInt64(bytes.count)) }
        return bytes
    }

    private func segment(_ marker: UInt8, _ content: [UInt8]) -> [UInt8] {
        [0xFF, marker, UInt8((content.count + 2) >> 8), UInt8((content.count + 2) & 0xFF)] + content
    }

    private func exif(orientation: UInt8, isLittle: Bool) -> [UInt8] {
        let tiff: [UInt8] =
            isLittle
            ? Array("II*\0".utf8) + [8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0]
            : Array("MM\0*".utf8) + [0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]
        return segment(0xE1, Array("Exif\0\0".utf8) + tiff + Self.secret)
    }

    @Test(
        "JPEG: Exif, XMP, IPTC, comments and other cameras' pictures; what it looks like stays",
        arguments: [false, true])
    func jpeg(isLittle: Bool) throws {
        let (start, end): ([UInt8], [UInt8]) = ([0xFF, 0xD8], [0xFF, 0xD9])
        let look =
            segment(0xE0, Array("JFIF\0".utf8)) + segment(0xE2, Array("ICC_PROFILE\0x".utf8)) + segment(0xDB, [1, 2])
        let scan = segment(0xDA, [9]) + [1, 0xFF, 0, 0xFF, 0xD3, 2] + segment(0xDA, [8]) + [0xFF, 0, 5]
        let told =
            segment(0xED, Self.secret) + segment(0xFE, Self.secret) + segment(0xE2, Array("MPF\0".utf8) + Self.secret)
        let plain = start + look + scan + end
        #expect(try sent(plain) == plain)
        let whole = start + exif(orientation: 1, isLittle: isLittle) + look + told + scan + told + end
        // Behind it the camera's preview, and bytes of no picture
        #expect(try sent(whole + whole + Self.secret) == plain + plain + Self.secret)
        #expect(try sent(whole, keepsMetadata: true) == whole)
        let turned = try sent(start + exif(orientation: 6, isLittle: isLittle) + look + scan + end)
        let minimal = segment(
            0xE1, Array("Exif\0\0MM\0*".utf8) + [0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0])
        #expect(turned == start + minimal + look + scan + end)
    }

    @Test("PNG and WebP: texts, Exif and XMP")
    func chunks() throws {
        func png(_ type: String, _ content: [UInt8]) -> [UInt8] {
            [0, 0, 0, UInt8(content.count)] + Array(type.utf8) + content + [1, 2, 3, 4]
        }
        let signature: [UInt8] = [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A]
        let (head, end) = (png("IHDR", [1]), png("IDAT", [2]) + png("IEND", []))
        let told = ["tEXt", "zTXt", "iTXt", "eXIf", "tIME"].flatMap { png($0, Self.secret) }
        #expect(try sent(signature + head + told + end + [7]) == signature + head + end + [7])

        func chunk(_ type: String, _ content: [UInt8]) -> [UInt8] {
            Array(type.utf8) + [UInt8(content.count), 0, 0, 0] + content
                + [UInt8](repeating: 0, count: content.count % 2)
        }
        func webP(_ chunks: [UInt8]) -> [UInt8] {
            Array("RIFF".utf8) + [UInt8(chunks.count + 4), 0, 0, 0] + Array("WEBP".utf8) + chunks
        }
        let picture = chunk("VP8 ", [1, 2, 3])
        let whole = webP(
            chunk("VP8X", [0x2C, 0, 0, 9]) + picture + chunk("EXIF", Self.secret) + chunk("XMP ", Self.secret))
        #expect(try sent(whole) == webP(chunk("VP8X", [0x20, 0, 0, 9]) + picture))
    }

    @Test("a file that is no picture, or a broken one, is sent as it is")
    func others() throws {
        let broken: [[UInt8]] = [
            Self.secret, [], [0xFF, 0xD8, 0xFF],
            [0xFF, 0xD8] + segment(0xE1, Self.secret) + [0xFF, 0xE1, 0xFF, 0xFF, 1],
            [0x89] + Array("PNG\r\n".utf8) + [0x1A, 0x0A, 0xFF, 0xFF, 0xFF, 0xFF] + Array("tEXtxxxx".utf8),
            Array("RIFF".utf8) + [0xFF, 0xFF, 0xFF, 0xFF] + Array("WEBPEXIF".utf8),
        ]
        for bytes in broken { #expect(try sent(bytes) == bytes) }
    }
}
