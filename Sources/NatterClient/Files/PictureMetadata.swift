internal import NatterModel
internal import NatterSystem

/// Leaves out of a JPEG, PNG or WebP picture what tells of place, camera, time and texts: Exif, XMP, IPTC and comments.
///
/// - SeeAlso: ITU-T T.81, annex B; PNG (Third Edition), sections 5.3 and 11.3; RFC 9649, section 2.
enum PictureMetadata {
    typealias Part = OutgoingFile.Part

    /// What is left of a picture, without decoding it; nil if nothing is left out, or the file is no picture as it should be.
    static func rest(of file: any DiskFile, size: UInt64) throws(DiskError) -> [Part]? {
        var walk = PictureWalk(file, size: size)
        let isWhole =
            switch FileType.of(prefix: try file.read(count: FileType.prefixBytes, at: 0)) {
            case "image/jpeg": try jpeg(&walk)
            case "image/png": try png(&walk)
            case "image/webp": try webP(&walk)
            default: false
            }
        return isWhole && walk.hasLeftOut ? walk.parts : nil
    }

    // MARK: JPEG

    private static func jpeg(_ walk: inout PictureWalk) throws(DiskError) -> Bool {
        // A camera may put several pictures into one file.
        while try walk.bytes(2) == [0xFF, 0xD8] {
            walk.keep(2)
            guard try jpegSegments(&walk) else { return false }
        }
        walk.keepRest()
        return true
    }

    private static func jpegSegments(_ walk: inout PictureWalk) throws(DiskError) -> Bool {
        while true {
            let head = try walk.bytes(4)
            guard head.count >= 2, head[0] == 0xFF else { return false }
            switch head[1] {
            case 0xD9:
                walk.keep(2)
                return true
            case 0xFF: walk.keep(1)
            case 0x01, 0xD0...0xD7: walk.keep(2)
            case 0x00, 0xD8: return false
            default:
                guard head.count == 4 else { return false }
                let length = UInt64(head[2]) << 8 | UInt64(head[3])
                guard length >= 2, walk.has(length + 2) else { return false }
                if isLeftOut(head[1], try walk.bytes(16).dropFirst(4)) {
                    let orientation = head[1] == 0xE1 ? orientation(try walk.bytes(Int(length) + 2)) : nil
                    walk.leaveOut(length + 2)
                    if let orientation { walk.add(exif(orientation)) }
                } else {
                    walk.keep(length + 2)
                    if head[1] == 0xDA { try walk.keepScan() }
                }
            }
        }
    }

    /// JFIF, a colour profile and Adobe's colours say how a picture looks. Every other APPn may say where it was taken.
    private static func isLeftOut(_ marker: UInt8, _ content: ArraySlice<UInt8>) -> Bool {
        switch marker {
        case 0xE0, 0xEE: false
        case 0xE2: !content.starts(with: "ICC_PROFILE\0".utf8)
        case 0xE1...0xEF, 0xFE: true
        default: false
        }
    }

    /// How a viewer must turn the picture, 2 to 8; nil if it need not, or it is not said.
    private static func orientation(_ segment: [UInt8]) -> UInt16? {
        let content = segment.dropFirst(4)
        guard content.starts(with: "Exif\0\0".utf8) else { return nil }
        let tiff = Array(content.dropFirst(6))
        let isLittle = tiff.starts(with: "II".utf8)
        guard isLittle || tiff.starts(with: "MM".utf8) else { return nil }
        func number(_ offset: Int, _ count: Int) -> Int? {
            guard offset >= 0, offset <= tiff.count - count else { return nil }
            let bytes = tiff[offset..<offset + count]
            return (isLittle ? Array(bytes.reversed()) : Array(bytes)).reduce(0) { $0 << 8 | Int($1) }
        }
        guard let start = number(4, 4), let entries = number(start, 2) else { return nil }
        for index in 0..<entries {
            let entry = start + 2 + 12 * index
            guard let tag = number(entry, 2) else { return nil }
            if tag == 0x0112 { return number(entry + 8, 2).flatMap { (2...8).contains($0) ? UInt16($0) : nil } }
        }
        return nil
    }

    /// An APP1 segment that has an orientation alone.
    private static func exif(_ orientation: UInt16) -> [UInt8] {
        [0xFF, 0xE1, 0, 34] + Array("Exif\0\0MM\0*".utf8) + [0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1]
            + [0, UInt8(truncatingIfNeeded: orientation), 0, 0, 0, 0, 0, 0]
    }

    // MARK: PNG

    private static func png(_ walk: inout PictureWalk) throws(DiskError) -> Bool {
        walk.keep(8)
        while true {
            let head = try walk.bytes(8)
            guard head.count == 8 else { return false }
            let length = head[..<4].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } + 12
            guard walk.has(length) else { return false }
            let type = String(decoding: head[4...], as: UTF8.self)
            if ["tEXt", "zTXt", "iTXt", "eXIf", "tIME"].contains(type) {
                walk.leaveOut(length)
            } else {
                walk.keep(length)
            }
            if type == "IEND" {
                walk.keepRest()
                return true
            }
        }
    }

    // MARK: WebP

    private static func webP(_ walk: inout PictureWalk) throws(DiskError) -> Bool {
        let size = little(try walk.bytes(8).dropFirst(4)) + 8
        guard walk.has(size) else { return false }
        walk.leaveOut(12)
        while walk.offset + 8 <= size {
            let head = try walk.bytes(9)
            guard head.count >= 8 else { return false }
            let content = little(head[4..<8])
            let length = 8 + content + content % 2
            guard walk.offset + length <= size else { return false }
            switch String(decoding: head[..<4], as: UTF8.self) {
            case "EXIF", "XMP ": walk.leaveOut(length)
            case "VP8X" where head.count == 9:
                // Two flags say that Exif and XMP are there.
                walk.leaveOut(9)
                walk.add(head[..<8] + [head[8] & ~0x0C])
                walk.keep(length - 9)
            default: walk.keep(length)
            }
        }
        guard walk.offset == size else { return false }
        let left = UInt32(truncatingIfNeeded: walk.parts.reduce(UInt64(4)) { $0 + $1.count })
        var header = Array("RIFF".utf8)
        header.append(littleEndian: left)
        walk.parts.insert(.bytes(header + Array("WEBP".utf8)), at: 0)
        walk.keepRest()
        return true
    }

    private static func little(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// Goes through a picture from its first byte to its last, and notes what is kept.
private struct PictureWalk {
    private static let pieceBytes = 64 << 10

    private let file: any DiskFile
    private let size: UInt64
    private(set) var offset: UInt64 = 0
    var parts: [OutgoingFile.Part] = []
    private(set) var hasLeftOut = false

    init(_ file: any DiskFile, size: UInt64) { (self.file, self.size) = (file, size) }

    func has(_ count: UInt64) -> Bool { count <= size - offset }

    /// The next bytes, or fewer at the end.
    func bytes(_ count: Int) throws(DiskError) -> [UInt8] { try file.read(count: count, at: offset) }

    mutating func leaveOut(_ count: UInt64) {
        offset += count
        hasLeftOut = true
    }

    mutating func keep(_ count: UInt64) {
        let end = offset + min(count, size - offset)
        if case .range(let last) = parts.last, last.upperBound == offset {
            parts[parts.count - 1] = .range(last.lowerBound..<end)
        } else if end > offset {
            parts.append(.range(offset..<end))
        }
        offset = end
    }

    mutating func keepRest() { keep(size - offset) }

    mutating func add(_ bytes: [UInt8]) { parts.append(.bytes(bytes)) }

    /// Keeps the coded data of a JPEG's scan, up to the next marker that is none of its own.
    mutating func keepScan() throws(DiskError) {
        while true {
            let piece = try bytes(PictureWalk.pieceBytes)
            guard piece.count >= 2 else { return keepRest() }
            let next = piece.indices.dropLast().first {
                piece[$0] == 0xFF && piece[$0 + 1] != 0 && !(0xD0...0xD7).contains(piece[$0 + 1])
            }
            keep(UInt64(next ?? piece.count - 1))
            if next != nil { return }
        }
    }
}
