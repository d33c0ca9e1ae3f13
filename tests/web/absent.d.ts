/** Types that DOMPurify's own mention, and that nothing here needs. */
declare module "trusted-types/lib/index.js" {
  export type TrustedHTML = string;
  export type TrustedTypePolicy = unknown;
  export type TrustedTypesWindow = { trustedTypes: unknown };
}
interface Window {
  trustedTypes: unknown;
}
