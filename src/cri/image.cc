#include "cri/image.h"

namespace te::cri {
namespace {

Result<void> read_image(const ProtoField& message, Image& out) {
  ElementBudget budget;
  return read_fields(message, [&](const ProtoField& field) -> Result<void> {
    switch (field.number) {
      case 1: return field.into(out.id);
      case 2: TRY(budget.take()); return field.into(out.repo_tags.emplace_back());
      case 5:
        out.uid = 0;
        return read_fields(field, [&](const ProtoField& inner) -> Result<void> {
          if (inner.number == 1) return inner.into(*out.uid);
          return {};
        });
      case 6: return field.into(out.username);
      default: return {};
    }
  });
}

}  // namespace

void encode(const ImageStatusRequest& request, std::string& out) {
  ProtoWriter(out).message(1, [&](ProtoWriter& image) { image.text(1, request.image); });
}

void encode(const PullImageRequest& request, std::string& out) {
  ProtoWriter writer(out);
  writer.message(1, [&](ProtoWriter& image) { image.text(1, request.image); });
  if (request.auth) {
    writer.message(2, [&](ProtoWriter& auth) {
      auth.text(1, request.auth->username);
      auth.text(2, request.auth->password);
      auth.text(3, request.auth->auth);
      auth.text(4, request.auth->server_address);
      auth.text(5, request.auth->identity_token);
      auth.text(6, request.auth->registry_token);
    });
  }
  if (request.sandbox_config) write_sandbox_config(writer, 3, *request.sandbox_config);
}

Result<void> decode(std::string_view bytes, ImageStatusResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return read_image(field, out.image.emplace());
    return {};
  });
}

Result<void> decode(std::string_view bytes, PullImageResponse& out) {
  return read_fields(bytes, [&](const ProtoField& field) -> Result<void> {
    if (field.number == 1) return field.into(out.image_ref);
    return {};
  });
}

}  // namespace te::cri
