internal import CWebPage
internal import NatterSystem

/// A file of the web page, ready to be sent.
public struct PageFile: Sendable {
    public let type: String
    public let bytes: [UInt8]
    /// `bytes`, compressed by gzip. Empty if zlib had no memory.
    public let compressed: [UInt8]
    /// Names the content. The compressed form has a tag of its own, because a strong tag stands for bytes.
    public let tag: String

    init(type: String, bytes: [UInt8]) {
        (self.type, self.bytes) = (type, bytes)
        compressed = Gzip.compress(bytes, .once) ?? []
        tag = String(Digest(of: bytes).description.prefix(32))
    }
}

/// The web page: its document, and the files that the document loads.
///
/// The files' addresses contain a hash over all of them, so a browser may keep them for ever, and a page never mixes the
/// modules of two releases.
public struct Page: Sendable {
    /// Made once, by who asks first: compressing takes some ten milliseconds.
    public static let shared = Page()

    /// The document, with the addresses of the files.
    public let document: PageFile
    /// The directory of the files in an address.
    public let release: String
    private let files: [String: PageFile]

    private static let documentName = "index.html"
    /// The word in the document that stands for the release.
    private static let placeholder = "RELEASE"

    private init() {
        var files: [String: PageFile] = [:]
        var document: (type: String, text: String) = ("text/html; charset=utf-8", "")
        var all: [UInt8] = []
        var index = 0
        while let file = natter_page_file_at(index)?.pointee {
            index += 1
            let (name, type) = (String(cString: file.name), String(cString: file.type))
            var bytes = Array(UnsafeBufferPointer(start: file.bytes, count: file.count))
            if name.hasSuffix(".js") { bytes = Page.lean(bytes) }
            all += bytes
            if name == Page.documentName {
                document = (type, String(decoding: bytes, as: UTF8.self))
            } else {
                files[name] = PageFile(type: type, bytes: bytes)
            }
        }
        let release = String(Digest(of: all).description.prefix(16))
        let text = document.text.split(separator: Page.placeholder, omittingEmptySubsequences: false)
            .joined(separator: release)
        self.document = PageFile(type: document.type, bytes: Array(text.utf8))
        (self.files, self.release) = (files, release)
    }

    /// A module without indentation and without lines that are comments, which browsers have no use for. Each line keeps its
    /// number, so that an error names its place in the source. No text of a module may go over several lines.
    private static func lean(_ module: [UInt8]) -> [UInt8] {
        let lines = module.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            let code = line.drop { $0 == UInt8(ascii: " ") }
            let isComment =
                code.starts(with: "//".utf8) || code.starts(with: "/**".utf8) && code.suffix(2).elementsEqual("*/".utf8)
            return isComment ? [] : code
        }
        return Array(lines.joined(separator: "\n".utf8))
    }

    /// The file at `/page/RELEASE/NAME`. A release that is not this one has no files: the page that asks is of another program.
    public func file(_ release: String, _ name: String) -> PageFile? {
        release.utf8.elementsEqual(self.release.utf8) ? files[name] : nil
    }
}
