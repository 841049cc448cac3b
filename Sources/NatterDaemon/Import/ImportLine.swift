internal import NatterProtocol

/// The fields of a line of NDJSON that are imported.
struct ImportLine: Decodable {
    let ts: LineTime
    let sender: String
    /// Only a deletion may have none.
    let text: String?
    let seq: LineSeq?
    let id: String?
    let kind: String?
    let about: LineNumber<UInt64>?
    let via: String?
    let written: LineNumber<Int64>?
    let erased: Bool?
    let deleted: LineMark?
    /// The file that a line of kind `file` names.
    let file: LineFiles?
    /// The files of the text of any other line.
    let files: LineFiles?

    /// Files of a line, one or several. Other values, which other programs write there, are ignored and no error.
    struct LineFiles: Decodable {
        let objects: [FileObject]

        init(from decoder: any Decoder) throws {
            objects = (try? FileObject(from: decoder)).map { [$0] } ?? (try? [FileObject](from: decoder)) ?? []
        }
    }

    /// The seq of a line. Other values, which other programs write there, are ignored and no error.
    struct LineSeq: Decodable {
        let value: UInt64?

        init(from decoder: any Decoder) throws {
            value = try? decoder.singleValueContainer().decode(UInt64.self)
        }
    }

    /// Whether a line says `true`. Other values, which other programs write there, are ignored and no error.
    struct LineMark: Decodable {
        let isSet: Bool

        init(from decoder: any Decoder) throws {
            isSet = (try? decoder.singleValueContainer().decode(Bool.self)) ?? false
        }
    }

    /// Unix time in milliseconds; nil if it has a fraction, as seconds often have.
    struct LineTime: Decodable {
        let milliseconds: Int64?

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            do { milliseconds = try container.decode(Int64.self) } catch {
                guard let number = try? container.decode(Double.self), number != number.rounded() else {
                    throw ImportLine.wrongNumber(decoder)
                }
                milliseconds = nil
            }
        }
    }

    /// A number whose error names its field.
    struct LineNumber<Number: Decodable & FixedWidthInteger>: Decodable {
        let value: Number

        init(from decoder: any Decoder) throws {
            do { value = try decoder.singleValueContainer().decode(Number.self) } catch {
                throw ImportLine.wrongNumber(decoder)
            }
        }
    }

    /// The error of a field that is not such a number. Foundation does not name the field of a number that is out of range.
    private static func wrongNumber(_ decoder: any Decoder) -> DecodingError {
        .typeMismatch(
            Int64.self, DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "not such a number"))
    }
}
