// Package drivers adds the clouds' stores to package archive: s3://, gs:// and azblob://. Only the main packages of programs import it, because
// it brings about 200 packages, which tests would have to link.
package drivers

import (
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)
